//! What is answered when every backend is out: the last good answer, another model, a fixed text; the first that there is.

mod fixed;
mod model;

pub use model::spare;

use super::dispatch::Errand;
use super::endpoint::Endpoint;
use super::error::{Code, GatewayError};
use super::opening::Opening;
use super::settle::Source;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use std::sync::Arc;

/// Marks an answer that no backend of the route gave.
pub const HEADER: HeaderName = HeaderName::from_static("x-deepseek-gateway-fallback");

/// What stands in for an answer of the route's backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The last good answer to the very same call.
    Cached,
    /// The answer of another model.
    Model,
    /// A fixed text.
    Static,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cached, Self::Model, Self::Static];

    /// As it stands in the header, in a stream's comment and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Model => "model",
            Self::Static => "static",
        }
    }

    /// As the header's value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

/// Marks an event stream whose head has been sent already.
#[must_use]
pub fn comment(kind: &str) -> Bytes {
    format!(": fallback={kind}\n\n").into()
}

/// What is answered in place of `error`.
pub async fn instead(mut errand: Errand, error: GatewayError) -> Opening {
    let route = Arc::clone(&errand.settlement.route);
    let Some(policy) = route.policy.failover.fallback.as_ref().filter(|_| is_out(error.code)) else {
        return Opening::Refused(error, Some(errand.settlement));
    };
    let key = errand.key.filter(|_| policy.cached);
    if let Some(kept) = key.and_then(|key| errand.settlement.shared.cache.last(&key)) {
        return known(errand, Kind::Cached, kept.response());
    }
    if let Some(spare) = errand.spare.take()
        && let Some(served) = model::ask(&mut errand, &spare).await
    {
        note(&errand, &route, Kind::Model);
        return Opening::Served(Box::new(served), Box::new(errand));
    }
    let is_chat = matches!(errand.call.endpoint, Endpoint::Chat | Endpoint::BetaChat);
    if let Some(content) = policy.content.as_deref().filter(|_| is_chat) {
        let response = fixed::answer(&errand.call, content);
        return known(errand, Kind::Static, response);
    }
    Opening::Refused(error, Some(errand.settlement))
}

fn known(mut errand: Errand, kind: Kind, mut response: Response<Bytes>) -> Opening {
    errand.settlement.source = Source::Fallback(kind);
    note(&errand, &errand.settlement.route, kind);
    response.headers_mut().insert(HEADER, kind.value());
    Opening::Whole(response, Some(errand.settlement))
}

/// Whether no backend serves, and not: whether the caller is wrong, or this pod has no room for the call.
fn is_out(code: Code) -> bool {
    (code.status().is_server_error() && code != Code::Overloaded) || code == Code::UpstreamRateLimited
}

fn note(errand: &Errand, route: &crate::snapshot::Route, kind: Kind) {
    let settlement = &errand.settlement;
    settlement.shared.metrics.fell_back(&route.state.metrics, kind);
    tracing::warn!(
        route = %route.state.metrics.label,
        kind = kind.as_str(),
        request_id = settlement.request_id.to_str().unwrap_or_default(),
        "every backend is out: a degraded answer"
    );
}
