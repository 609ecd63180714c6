//! An attempt that failed, with what was learned from it, and what the client is told when it was the last.

use super::judge::{Cause, Verdict};
use crate::pipeline::error::{Code, GatewayError};
use deepseek_crds::v1alpha1::RetryOn;
use http::{HeaderMap, header};
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// The longest `Retry-After` that is believed, in seconds: a day.
const LONGEST_WAIT: f64 = 86_400.0;

/// An attempt that failed before anything of it reached the client.
#[derive(Debug)]
pub struct Failure {
    /// What became of it.
    pub cause: Cause,
    /// For a person; never the text of a provider's error, which can quote a key or a prompt.
    pub detail: Cow<'static, str>,
    /// When the backend wants to be asked again.
    pub retry_after: Option<Duration>,
    /// The text of a 429, from which the account's limit is learned. Goes nowhere else.
    pub text: Option<Box<[u8]>>,
    /// The request field that the backend cannot carry.
    pub field: Option<&'static str>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { cause, detail: cause.what().into(), retry_after: None, text: None, field: None }
    }
}

impl Failure {
    /// The same, with the code of an error envelope behind the description.
    #[must_use]
    pub fn quoting(cause: Cause, envelope: &[u8]) -> Self {
        Self { detail: with_code(cause.what(), envelope), ..Self::from(cause) }
    }

    /// The backend cannot carry a field of the request.
    #[must_use]
    pub fn unfit(field: &'static str) -> Self {
        let detail = format!("it cannot carry the field {field} as the request has it").into();
        Self { detail, field: Some(field), ..Self::from(Cause::Unfit) }
    }

    /// What follows.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.cause.verdict()
    }

    /// What the client is told.
    #[must_use]
    pub fn into_error(self, backend: &str) -> GatewayError {
        let code = match (self.cause, self.verdict().kind) {
            (Cause::Unfit, _) => Code::InvalidValue,
            (Cause::NoRoom, _) => Code::Overloaded,
            (Cause::ModelUnknown | Cause::NotFound, _) => Code::UpstreamModelNotFound,
            (_, Some(RetryOn::ConnectFailure)) => Code::UpstreamUnreachable,
            (_, Some(RetryOn::RateLimited)) => Code::UpstreamRateLimited,
            (_, Some(RetryOn::ServerError)) => Code::UpstreamError,
            (_, Some(RetryOn::EmptyResponse)) => Code::UpstreamEmpty,
            (_, Some(RetryOn::BackendRefused)) => Code::UpstreamRefused,
            (_, Some(RetryOn::Timeout) | None) => Code::UpstreamTimeout,
        };
        let after = match code {
            Code::UpstreamRateLimited | Code::Overloaded => {
                Some(self.retry_after.unwrap_or(Duration::from_secs(1)))
            }
            _ => self.retry_after,
        };
        let error = GatewayError::new(code, format!("Backend {backend} failed: {}.", self.detail));
        GatewayError { param: self.field, ..error }.retry_after(after)
    }
}

/// `Retry-After-Ms`, else `Retry-After` in seconds or as a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|number| number.is_finite());
    let millis = number("retry-after-ms").map(|ms| ms / 1000.0);
    let seconds = millis.or_else(|| number(header::RETRY_AFTER.as_str()));
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT)).ok();
    }
    let date = jiff::fmt::rfc2822::parse(text(header::RETRY_AFTER.as_str())?).ok()?;
    let wait = SystemTime::from(date.timestamp()).duration_since(now).unwrap_or_default();
    Some(wait.min(Duration::from_secs_f64(LONGEST_WAIT)))
}

/// `what`, with the code of an error envelope behind it. Its message stays here.
fn with_code(what: &'static str, envelope: &[u8]) -> Cow<'static, str> {
    let is_code = |text: &&str| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let body = serde_json::from_slice::<serde_json::Value>(envelope).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let code = ["type", "code"].into_iter().filter_map(|field| error.get(field)?.as_str()).find(is_code);
    match code {
        Some(code) => format!("{what} ({code})").into(),
        None => what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn retry_after_is_read_in_seconds_milliseconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH;
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("2"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(2)));
        headers.insert("retry-after-ms", HeaderValue::from_static("150"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_millis(150)));
        for nothing in ["soon", "nan", "inf"] {
            headers.insert("retry-after-ms", HeaderValue::from_static(nothing));
            assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(2)), "{nothing}");
        }
        headers.insert("retry-after", HeaderValue::from_static("Thu, 01 Jan 1970 00:00:07 GMT"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_providers_message_stays_out_of_what_the_client_is_told() {
        let body = br#"{"error":{"message":"Your api key: ****fcc2 is invalid","type":"server_error"}}"#;
        let error = Failure::quoting(Cause::InternalError, body).into_error("official");
        assert_eq!(error.message, "Backend official failed: it answered 500 (server_error).");
    }
}
