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

/// What a client must not see of an answer, beside [`HOP_BY_HOP`].
const RESPONSE_ONLY: [HeaderName; 2] = [header::SET_COOKIE, header::ALT_SVC];
const RESPONSE_ONLY_TEXT: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Headers for the backend, made of the client's.
#[must_use]
pub fn for_backend(mut headers: HeaderMap) -> HeaderMap {
    strip(&mut headers, |name| REQUEST_ONLY.contains(name) || REQUEST_ONLY_TEXT.contains(&name.as_str()));
    // DeepSeek answers 415 to a charset.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// Headers for the client, made of the backend's.
pub fn for_client(headers: &mut HeaderMap, stream: bool) {
    strip(headers, |name| RESPONSE_ONLY.contains(name) || RESPONSE_ONLY_TEXT.contains(&name.as_str()));
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

/// Removes the headers of the connection, those that it names, and what else is `unwanted`.
fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let present = headers.keys().filter(|name| HOP_BY_HOP.contains(name) || unwanted(name)).cloned();
    for name in named.chain(present).collect::<Vec<HeaderName>>() {
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
