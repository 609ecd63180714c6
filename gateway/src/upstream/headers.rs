//! Which headers pass, in both directions. The caller's credentials and cookies end here; so do a backend's cookies.

use crate::pipeline::deadline;
use crate::pipeline::relay::Form;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers of one connection, not of the message.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// What a backend must not see of a request, beside [`HOP_BY_HOP`]. It is asked for an unencoded answer: a compressed
/// stream arrives in blocks.
const REQUEST_ONLY: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::ACCEPT_ENCODING,
    header::FORWARDED,
    header::EXPECT,
];
const REQUEST_ONLY_TEXT: [&str; 10] = [
    deadline::HEADER,
    deadline::ENVOY_HEADER,
    "x-api-key",
    "api-key",
    "x-real-ip",
    "proxy-connection",
    "keep-alive",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Headers for the backend, made of the client's.
#[must_use]
pub fn for_backend(mut headers: HeaderMap) -> HeaderMap {
    remove_named_by_connection(&mut headers);
    for name in HOP_BY_HOP.iter().chain(&REQUEST_ONLY) {
        headers.remove(name);
    }
    for name in REQUEST_ONLY_TEXT {
        headers.remove(name);
    }
    // DeepSeek answers 415 to a charset.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// Headers for the client, made of the backend's.
pub fn for_client(headers: &mut HeaderMap, stream: bool) {
    remove_named_by_connection(headers);
    for name in HOP_BY_HOP.iter().chain([&header::SET_COOKIE, &header::ALT_SVC]) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    if stream {
        headers.remove(header::CONTENT_LENGTH);
        unbuffered(headers);
    }
}

/// Headers of an answer whose head is sent before any backend's.
pub fn of_our_own(headers: &mut HeaderMap, form: Form) {
    let content_type = match form {
        Form::Events(_) => "text/event-stream; charset=utf-8",
        Form::Padded | Form::Plain => "application/json",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    unbuffered(headers);
}

/// Proxies on the way to the client must not collect what comes piece by piece.
fn unbuffered(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_hop_by_hop_headers_stop_here_and_the_rest_passes() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer client-key"),
            ("x-api-key", "client-key"),
            ("cookie", "a=b"),
            ("connection", "x-private, keep-alive"),
            ("x-private", "1"),
            ("accept-encoding", "gzip"),
            ("content-type", "application/json; charset=utf-8"),
            ("traceparent", "00-1-2-01"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let sent = for_backend(headers);
        let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(sent[header::CONTENT_TYPE], "application/json");
        assert_eq!(sent["traceparent"], "00-1-2-01");
        assert_eq!(names.len(), 2, "{names:?}");
    }
}
