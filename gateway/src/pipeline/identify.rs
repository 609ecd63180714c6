//! Who calls: the consumer that holds the API key sent with the request.

use super::error::{Code, GatewayError};
use crate::snapshot::{Consumer, Shared, Snapshot};
use deepseek_config::keys::ApiKeyHash;
use deepseek_crds::v1alpha1::AuthMode;
use http::{HeaderMap, header};
use std::sync::Arc;

/// The caller. `Authorization: Bearer …` wins over `x-api-key` and `api-key` when several are sent.
pub fn identify(
    shared: &Shared,
    snapshot: &Snapshot,
    headers: &HeaderMap,
) -> Result<Arc<Consumer>, GatewayError> {
    if snapshot.settings.auth == AuthMode::None {
        return Ok(Arc::clone(&shared.anonymous));
    }
    let key = api_key(headers).ok_or_else(|| {
        GatewayError::new(
            Code::MissingApiKey,
            "No API key was sent. Send it as Authorization: Bearer YOUR_KEY.",
        )
    })?;
    snapshot.consumers.get(&ApiKeyHash::of(key)).cloned().ok_or_else(|| {
        GatewayError::new(
            Code::InvalidApiKey,
            "The API key is not known to this gateway. Check it for typing errors or ask for a new one.",
        )
    })
}

fn api_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).and_then(|value| {
        let (scheme, key) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    let other = || {
        ["x-api-key", "api-key"].iter().find_map(|name| headers.get(*name)).map(http::HeaderValue::as_bytes)
    };
    bearer.or_else(other).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_bearer_token_wins_over_the_other_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!(api_key(&headers), None);
        headers.insert("x-api-key", HeaderValue::from_static("other"));
        assert_eq!(api_key(&headers), Some(b"other".as_slice()));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer  mine"));
        assert_eq!(api_key(&headers), Some(b"mine".as_slice()));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic Zm9v"));
        assert_eq!(api_key(&headers), Some(b"other".as_slice()));
    }
}
