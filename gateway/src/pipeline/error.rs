//! What the gateway itself answers when it cannot serve a request: OpenAI's error envelope, one closed set of codes.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;

use super::reply::{ReplyBody, full};

/// An error of the gateway's own, as the client sees it. The message never holds a key or a prompt.
#[derive(Debug)]
pub struct GatewayError {
    /// What went wrong.
    pub code: Code,
    /// For a person: what to change, or when to try again.
    pub message: Cow<'static, str>,
    /// The request field at fault.
    pub param: Option<&'static str>,
    /// When another try makes sense.
    pub retry_after: Option<Duration>,
    /// More response headers, such as `x-ratelimit-*`.
    pub headers: Option<Box<HeaderMap>>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:ident, $kind:literal;)+) => {
        /// `error.code`: a closed set, also a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }
        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name),+];
            /// As it stands in `error.code`.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text),+ } }
            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode { match self { $(Self::$name => StatusCode::$status),+ } }
            /// As it stands in `error.type`.
            #[must_use]
            pub fn kind(self) -> &'static str { match self { $(Self::$name => $kind),+ } }
        }
    };
}

codes! {
    /// The path is not one of the API's.
    UnknownUrl = "unknown_url", NOT_FOUND, "invalid_request_error";
    /// The path is right, the method is not.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "invalid_request_error";
    /// The body is not valid JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, "invalid_request_error";
    /// A field is missing.
    MissingParameter = "missing_required_parameter", BAD_REQUEST, "invalid_request_error";
    /// A field has a value that cannot be.
    InvalidValue = "invalid_value", BAD_REQUEST, "invalid_request_error";
    /// The body did not arrive whole.
    IncompleteBody = "incomplete_body", BAD_REQUEST, "invalid_request_error";
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "invalid_request_error";
    /// The body is larger than the gateway takes.
    RequestTooLarge = "request_too_large", PAYLOAD_TOO_LARGE, "invalid_request_error";
    /// The body is encoded in a way that the gateway does not read.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "invalid_request_error";
    /// No API key was sent.
    MissingApiKey = "missing_api_key", UNAUTHORIZED, "authentication_error";
    /// The API key is not known.
    InvalidApiKey = "invalid_api_key", UNAUTHORIZED, "authentication_error";
    /// No route serves the model, or this caller may not use it: both look the same from outside.
    ModelNotFound = "model_not_found", NOT_FOUND, "invalid_request_error";
    /// No backend of the route has this endpoint.
    UnsupportedEndpoint = "unsupported_endpoint", BAD_REQUEST, "invalid_request_error";
    /// A quota is used up.
    RateLimitExceeded = "rate_limit_exceeded", TOO_MANY_REQUESTS, "rate_limit_error";
    /// Too many requests of this caller are in flight.
    ConcurrencyExceeded = "concurrency_limit_exceeded", TOO_MANY_REQUESTS, "rate_limit_error";
    /// Every backend refused for its own limits.
    UpstreamRateLimited = "upstream_rate_limited", TOO_MANY_REQUESTS, "rate_limit_error";
    /// No backend could be connected.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, "api_error";
    /// The backend answered with a server error.
    UpstreamError = "upstream_error", BAD_GATEWAY, "api_error";
    /// The backend answered 200 with nothing in it.
    UpstreamEmpty = "upstream_empty_response", BAD_GATEWAY, "api_error";
    /// The backend refused the gateway's own account or key.
    UpstreamRefused = "upstream_refused_credentials", BAD_GATEWAY, "api_error";
    /// No backend of the route knows the model by the name the route gives it.
    UpstreamModelNotFound = "upstream_model_not_found", BAD_GATEWAY, "api_error";
    /// The answer broke off.
    StreamInterrupted = "stream_interrupted", BAD_GATEWAY, "api_error";
    /// The backend did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, "api_error";
    /// Every backend's circuit breaker is open.
    NoHealthyBackend = "no_healthy_backend", SERVICE_UNAVAILABLE, "api_error";
    /// The gateway has as many requests, or as many bytes of them, as it takes.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "api_error";
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

impl GatewayError {
    /// An error with code and message alone.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), param: None, retry_after: None, headers: None }
    }

    /// Names the request field at fault.
    #[must_use]
    pub fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// Says when another try makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// The envelope as JSON.
    #[must_use]
    pub fn envelope(&self) -> String {
        let inner = Inner {
            message: &self.message,
            kind: self.code.kind(),
            param: self.param,
            code: self.code.as_str(),
        };
        serde_json::to_string(&Envelope { error: inner }).unwrap_or_default()
    }

    /// The whole response.
    #[must_use]
    pub fn respond(self) -> Response<ReplyBody> {
        let mut response = Response::new(full(self.envelope()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        if let Some(more) = self.headers {
            *headers = *more;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: a client that waits that long is never too early.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_an_openai_envelope_with_all_four_fields() {
        let error =
            GatewayError::new(Code::InvalidValue, "temperature must be between 0 and 2").param("temperature");
        assert_eq!(
            error.envelope(),
            r#"{"error":{"message":"temperature must be between 0 and 2","type":"invalid_request_error","param":"temperature","code":"invalid_value"}}"#
        );
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let error = GatewayError::new(Code::RateLimitExceeded, "slow down");
        let response = error.retry_after(Some(Duration::from_millis(1200))).respond();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
