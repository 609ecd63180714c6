//! The call's one deadline: the route's `request` timeout, shortened by what the caller says of its own patience.

use super::error::{Code, GatewayError};
use http::HeaderMap;
use std::time::Duration;

/// How long the caller waits, in milliseconds.
pub const HEADER: &str = "x-request-timeout-ms";
/// The same as Envoy tells it to what is behind it.
pub const ENVOY_HEADER: &str = "x-envoy-expected-rq-timeout-ms";

/// How long the call may take in all.
pub fn allowed(headers: &HeaderMap, most: Duration) -> Result<Duration, GatewayError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let millis = |text: &str| text.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis);
    let own = match text(HEADER) {
        None => None,
        Some(value) => Some(millis(value).ok_or_else(|| {
            let message = "The header x-request-timeout-ms must be a whole number of milliseconds above 0.";
            GatewayError::new(Code::InvalidValue, message).param(HEADER)
        })?),
    };
    let envoys = text(ENVOY_HEADER).and_then(millis);
    Ok([own, envoys].into_iter().flatten().fold(most, Duration::min))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_shortest_of_route_caller_and_envoy_holds() {
        let most = Duration::from_mins(10);
        let mut headers = HeaderMap::new();
        let allowed = |headers: &HeaderMap| allowed(headers, most).map_err(|error| error.param);
        assert_eq!(allowed(&headers), Ok(most));
        headers.insert(ENVOY_HEADER, HeaderValue::from_static("9000"));
        assert_eq!(allowed(&headers), Ok(Duration::from_secs(9)));
        headers.insert(HEADER, HeaderValue::from_static("800"));
        assert_eq!(allowed(&headers), Ok(Duration::from_millis(800)));
        headers.insert(HEADER, HeaderValue::from_static("900000"));
        assert_eq!(allowed(&headers), Ok(Duration::from_secs(9)), "it shortens, and never prolongs");
        for wrong in ["0", "-1", "soon", "1.5", ""] {
            headers.insert(HEADER, HeaderValue::from_static(wrong));
            assert_eq!(allowed(&headers), Err(Some(HEADER)), "{wrong}");
        }
    }
}
