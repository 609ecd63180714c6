//! The refusals, word by word: statuses and DeepSeek's texts; how each server wraps them is in [`shapes`].
//!
//! Every text was captured from a real server, except those marked *unverified*.

mod shapes;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::object::object;
use crate::flavor::Flavor;

/// A kind of refusal: it has a status, a message and a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// 400: the body is not JSON.
    BadRequest,
    /// 400: input moderation.
    ContentRisk,
    /// 400: too many tokens.
    Context,
    /// 400: a model that is not served.
    Model,
    /// 400: `reasoning_content` was not sent back.
    ReasoningMissing,
    /// 400: a forced tool while thinking.
    ToolChoice,
    /// 400: a value out of its range.
    Invalid,
    /// 401: a wrong key.
    Auth,
    /// 401: no key, or not as `Bearer sk-…`.
    AuthFormat,
    /// 402: nothing left in the account.
    Balance,
    /// 404: no such path. Not in the envelope.
    NotFound,
    /// 405: wrong method; without a body (*unverified*).
    Method,
    /// 415: plain text.
    ContentType,
    /// 422: the early form of a serde error.
    Unprocessable,
    /// 413: a body that is too large (*unverified* text).
    TooLarge,
    /// 429: too many requests in flight.
    Concurrency,
    /// 429: too many requests in flight of one `user_id` (*unverified* text).
    UserConcurrency,
    /// 429: too many tokens a minute; type and code *unverified*.
    RateLimit,
    /// 500 (*unverified* text).
    Server,
    /// 503 (*unverified* text).
    Overloaded,
    /// 504 with the edge's page.
    Html,
    /// 500 without a body.
    Empty,
    /// 200 with only empty lines.
    Blank,
}

impl ErrorKind {
    /// The kind that DeepSeek sends with this status.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Auth,
            402 => Self::Balance,
            404 => Self::NotFound,
            413 => Self::TooLarge,
            405 => Self::Method,
            415 => Self::ContentType,
            422 => Self::Unprocessable,
            429 => Self::RateLimit,
            400..=499 => Self::BadRequest,
            502 | 504 => Self::Html,
            503 | 529 => Self::Overloaded,
            _ => Self::Server,
        }
    }

    /// Whether it is for too many requests in flight.
    pub(crate) fn is_for_concurrency(self) -> bool {
        matches!(self, Self::Concurrency | Self::UserConcurrency)
    }

    /// Whether it is for the key.
    fn is_for_the_key(self) -> bool {
        matches!(self, Self::Auth | Self::AuthFormat)
    }

    fn status(self) -> u16 {
        match self {
            Self::BadRequest
            | Self::ContentRisk
            | Self::Context
            | Self::Model
            | Self::ReasoningMissing
            | Self::ToolChoice
            | Self::Invalid => 400,
            Self::Auth | Self::AuthFormat => 401,
            Self::Balance => 402,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::ContentType => 415,
            Self::Unprocessable => 422,
            Self::TooLarge => 413,
            Self::Concurrency | Self::UserConcurrency | Self::RateLimit => 429,
            Self::Server | Self::Empty => 500,
            Self::Overloaded => 503,
            Self::Html => 504,
            Self::Blank => 200,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "Failed to parse the request body as JSON: EOF while parsing a value at line 1 column 0"
            }
            Self::ContentRisk => "Content Exists Risk",
            Self::Context => {
                "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens (122942 in the \
                 messages, 8192 in the completion). Please reduce the length of the messages or completion."
            }
            Self::Model => {
                "The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed deepseek-chat."
            }
            Self::ReasoningMissing => {
                "The `reasoning_content` in the thinking mode must be passed back to the API."
            }
            Self::ToolChoice => "Thinking mode does not support this tool_choice",
            Self::Invalid => "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]",
            Self::Auth => "Authentication Fails, Your api key: ****fcc2 is invalid",
            Self::AuthFormat => "Authentication Fails (auth header format should be Bearer sk-...)",
            Self::Balance => "Insufficient Balance",
            Self::NotFound => "Not Found. Please check the configuration.",
            Self::ContentType => "Expected request with `Content-Type: application/json`",
            Self::Unprocessable => {
                "Failed to deserialize the JSON body into the target type: messages[0]: missing field `content` at line 1 column 32"
            }
            Self::Concurrency => {
                "Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your remaining balance. \
                 Please top up your balance to restore your concurrency."
            }
            Self::UserConcurrency => {
                "The current concurrency of user_id 'u1' is 2, which exceeds the concurrency limit of 1 of each user_id."
            }
            Self::TooLarge => "Request body too large",
            Self::RateLimit => "Rate limit reached for TPM",
            Self::Server => "Internal server error. Please retry your request after a brief wait.",
            Self::Overloaded => "Service is too busy. Please retry your request after a brief wait.",
            Self::Html | Self::Method | Self::Empty | Self::Blank => "",
        }
    }

    fn kind_type(self) -> &'static str {
        match self {
            Self::Auth | Self::AuthFormat => "authentication_error",
            Self::Balance => "unknown_error",
            Self::Concurrency | Self::UserConcurrency | Self::RateLimit => "rate_limit_error",
            Self::Server | Self::Overloaded => "server_error",
            _ => "invalid_request_error",
        }
    }
}

/// A refusal, ready to be said in any server's way.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) status: StatusCode,
    message: String,
}

impl Refusal {
    /// A refusal in the kind's own words.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        Self::saying(kind, kind.message())
    }

    /// A refusal in other words.
    pub(crate) fn saying(kind: ErrorKind, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { kind, status, message: message.into() }
    }

    /// The same refusal with another status, if one is given and is a status at all.
    pub(crate) fn with_status(mut self, status: Option<u16>) -> Self {
        self.status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(self.status);
        self
    }

    /// The content type.
    pub(crate) fn content_type(&self) -> &'static str {
        match self.kind {
            ErrorKind::Html => "text/html",
            ErrorKind::ContentType => "text/plain; charset=utf-8",
            _ => "application/json",
        }
    }

    /// The body.
    pub(crate) fn body(&self, flavor: Flavor) -> Bytes {
        let message = &self.message;
        match self.kind {
            ErrorKind::Empty | ErrorKind::Method => Bytes::new(),
            ErrorKind::Blank => Bytes::from_static(b"\n\n\n\n"),
            ErrorKind::ContentType => message.clone().into(),
            ErrorKind::Html => html(self.status).into(),
            ErrorKind::NotFound if flavor.is_deepseek() => object! {"error_msg": message}.to_text().into(),
            _ => shapes::json(self, flavor).into(),
        }
    }

    /// The error as the data of a frame.
    pub(crate) fn frame(&self, flavor: Flavor) -> String {
        shapes::frame(self, flavor)
    }
}

fn html(status: StatusCode) -> String {
    format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n\
         <hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(kind: ErrorKind, flavor: Flavor) -> String {
        String::from_utf8(Refusal::of(kind).body(flavor).to_vec()).unwrap()
    }

    #[test]
    fn insufficient_balance_is_the_captured_body() {
        assert_eq!(
            body(ErrorKind::Balance, Flavor::DeepSeek),
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#
        );
    }

    #[test]
    fn an_unknown_path_is_answered_outside_the_envelope() {
        assert_eq!(
            body(ErrorKind::NotFound, Flavor::DeepSeek),
            r#"{"error_msg":"Not Found. Please check the configuration."}"#
        );
    }
}
