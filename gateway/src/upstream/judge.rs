//! Judgement of an attempt: what failed, and what the client is told when it was the last.

use crate::pipeline::error::{Code, GatewayError};
use deepseek_crds::v1alpha1::RetryOn;
use http::{HeaderMap, StatusCode, header};
use std::borrow::Cow;
use std::time::Duration;

/// The longest `Retry-After` that is believed, in seconds: a day.
const LONGEST_WAIT: f64 = 86_400.0;

/// An attempt that failed by the backend's fault, before anything of it reached the client.
#[derive(Debug)]
pub struct Failure {
    /// Its kind.
    pub kind: RetryOn,
    /// What happened, for a person; never the text of a credentials error.
    pub detail: Cow<'static, str>,
    /// When the backend wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Whether it refused the key (401), and another key of the same account may do.
    pub key_refused: bool,
    /// Whether the breaker counts it. An answer without content may be the caller's own doing.
    pub counts: bool,
}

/// The failure a status stands for; `None` where the answer is the client's to read.
#[must_use]
pub fn by_status(status: StatusCode) -> Option<RetryOn> {
    match status.as_u16() {
        401..=403 => Some(RetryOn::BackendRefused),
        408 => Some(RetryOn::Timeout),
        429 => Some(RetryOn::RateLimited),
        // A redirect is no answer of an API, and its target is nobody's business.
        300..=399 | 500.. => Some(RetryOn::ServerError),
        _ => None,
    }
}

/// Low-cardinality name of a failure, for metrics, logs and status.
#[must_use]
pub fn name(kind: RetryOn) -> &'static str {
    match kind {
        RetryOn::ConnectFailure => "ConnectFailure",
        RetryOn::Timeout => "Timeout",
        RetryOn::RateLimited => "RateLimited",
        RetryOn::ServerError => "ServerError",
        RetryOn::EmptyResponse => "EmptyResponse",
        RetryOn::BackendRefused => "BackendRefused",
    }
}

/// `Retry-After` (seconds) or `Retry-After-Ms`; the other form, a date, is not used by model providers.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let millis = number("retry-after-ms").map(|ms| ms / 1000.0);
    let seconds = millis.or_else(|| number(header::RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT)).ok()
}

impl Failure {
    /// A failure without more to say of it.
    pub fn new(kind: RetryOn, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, key_refused: false, counts: true }
    }

    /// An answer that is well-formed and says nothing: another backend may say more, but this one is not out of order.
    #[must_use]
    pub fn silent(what: &'static str) -> Self {
        Self { counts: false, ..Self::new(RetryOn::EmptyResponse, what) }
    }

    /// What the client is told.
    #[must_use]
    pub fn into_error(self, backend: &str) -> GatewayError {
        let code = match self.kind {
            RetryOn::ConnectFailure => Code::UpstreamUnreachable,
            RetryOn::Timeout => Code::UpstreamTimeout,
            RetryOn::RateLimited => Code::UpstreamRateLimited,
            RetryOn::ServerError => Code::UpstreamError,
            RetryOn::EmptyResponse => Code::UpstreamEmpty,
            RetryOn::BackendRefused => Code::UpstreamRefused,
        };
        let after = match self.kind {
            RetryOn::RateLimited => Some(self.retry_after.unwrap_or(Duration::from_secs(1))),
            _ => self.retry_after,
        };
        GatewayError::new(code, format!("Backend {backend} failed: {}.", self.detail)).retry_after(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_callers_own_mistakes_are_not_failures_of_the_backend() {
        for status in [200, 400, 404, 413, 415, 422] {
            assert_eq!(by_status(StatusCode::from_u16(status).expect("valid")), None, "{status}");
        }
        assert_eq!(by_status(StatusCode::PAYMENT_REQUIRED), Some(RetryOn::BackendRefused));
        assert_eq!(by_status(StatusCode::TOO_MANY_REQUESTS), Some(RetryOn::RateLimited));
        assert_eq!(by_status(StatusCode::GATEWAY_TIMEOUT), Some(RetryOn::ServerError));
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_milliseconds() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("2"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", HeaderValue::from_static("150"));
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(150)));
        headers.insert("retry-after-ms", HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
    }
}
