//! Judgement of an attempt: one table of everything that can become of it, and what follows.
//!
//! [`Cause`] is exhaustive; [`Cause::verdict`] is the only place that decides. `docs/judgement.md` shows the table to
//! users, and a test compares.

use deepseek_crds::v1alpha1::RetryOn;
use serde_json::Value;

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server behind the backend, or the way to it.
    Backend,
    /// The platform team's account at the provider.
    Account,
    /// What the route says of the backend does not fit it.
    Route,
    /// The caller's request.
    Caller,
    /// Nobody's in particular: time ran out.
    Clock,
    /// The gateway's own: it is overloaded.
    Gateway,
}

/// What may follow in the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another backend at once; when there is none, this one again after a pause.
    Again,
    /// This account at once with its next key; when there is none, another backend, and never this one again in this call.
    OtherKey,
    /// Another backend; never this one again in this call, nor for going on with its answer.
    Elsewhere,
    /// Another backend goes on where the stream broke, with `midStream: Resume`; else the client gets an error event.
    Resume,
    /// Nothing: the answer is the caller's to read, or time is up.
    Never,
}

/// What follows from a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which entry of `failover.retryOn` allows another attempt; `None`: none is needed (or none follows).
    pub kind: Option<RetryOn>,
    /// Whose doing it is.
    pub side: Side,
    /// What may follow.
    pub next: Next,
    /// Whether the circuit breaker counts it.
    pub counts: bool,
}

macro_rules! causes {
    ($($name:ident: $what:literal => $kind:expr, $side:ident, $next:ident, $counts:literal;)+) => {
        /// What became of an attempt that brought no (whole) answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the table says what each is")]
        pub enum Cause { $($name,)+ }

        impl Cause {
            /// Every cause, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it stands in logs and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => stringify!($name)),+ } }

            /// For a person; completes a sentence about the backend.
            #[must_use]
            pub fn what(self) -> &'static str { match self { $(Self::$name => $what),+ } }

            /// What follows.
            #[must_use]
            pub fn verdict(self) -> Verdict {
                let (kind, side, next, counts) = match self {
                    $(Self::$name => ($kind, Side::$side, Next::$next, $counts)),+
                };
                Verdict { kind, side, next, counts }
            }
        }
    };
}

use RetryOn::{BackendRefused, ConnectFailure, EmptyResponse, RateLimited, ServerError, Timeout};

causes! {
    // No answer at all.
    DnsFailed: "its name cannot be resolved" => Some(ConnectFailure), Backend, Again, true;
    ConnectFailed: "it cannot be connected" => Some(ConnectFailure), Backend, Again, true;
    TlsFailed: "its TLS handshake failed" => Some(ConnectFailure), Backend, Again, true;
    ConnectTimeout: "it could not be connected in time" => Some(Timeout), Backend, Again, true;
    ClosedUnsent: "it closed the connection before the request was sent" => Some(ConnectFailure), Backend, Again, true;
    ClosedUnanswered: "it closed the connection without an answer" => Some(ConnectFailure), Backend, Again, true;
    NotHttp: "it answered with something that is not HTTP" => Some(ConnectFailure), Backend, Again, true;
    NoHeaders: "it sent no headers in time" => Some(Timeout), Backend, Again, true;
    NoFirstToken: "it sent headers and no token in time" => Some(Timeout), Backend, Again, true;
    NoWholeAnswer: "its answer was not complete in time" => Some(Timeout), Backend, Again, true;
    Silent: "it sent nothing, not even a keep-alive, for too long" => Some(Timeout), Backend, Again, true;
    TimeUp: "the call's time was up" => None, Clock, Never, false;
    NoRoom: "the gateway had no memory left for its answer" => None, Gateway, Never, false;
    // Statuses that are the backend's or the account's.
    Redirected: "it answered with a redirect" => Some(ServerError), Route, Elsewhere, true;
    KeyRefused: "it refused the gateway's key (401)" => Some(BackendRefused), Account, OtherKey, true;
    OutOfBalance: "its account is out of balance" => Some(BackendRefused), Account, Elsewhere, false;
    Forbidden: "it refused the gateway's account (403)" => Some(BackendRefused), Account, Elsewhere, true;
    ModelUnknown: "it does not serve the model" => Some(BackendRefused), Route, Elsewhere, false;
    NotFound: "it has no such path (404)" => Some(BackendRefused), Route, Elsewhere, false;
    RequestTimeout: "it answered 408" => Some(Timeout), Backend, Again, true;
    RateLimitedAccount: "it answered 429: the account's limit is reached" => Some(RateLimited), Account, Again, false;
    RateLimitedTenant: "it answered 429: the limit of one user_id is reached" => Some(RateLimited), Caller, Elsewhere, false;
    InternalError: "it answered 500" => Some(ServerError), Backend, Again, true;
    BadGateway: "it answered 502 or 504" => Some(ServerError), Backend, Again, true;
    Overloaded: "it answered 503" => Some(ServerError), Backend, Again, true;
    OtherServerError: "it answered with a server error" => Some(ServerError), Backend, Again, true;
    // A 200 that is none.
    BlankBody: "it answered 200 with nothing in it" => Some(EmptyResponse), Backend, Again, true;
    WebPage: "it answered 200 with a web page" => Some(EmptyResponse), Backend, Again, true;
    NotJson: "it answered 200 with something that is not JSON" => Some(EmptyResponse), Backend, Again, true;
    ErrorAnswer: "it answered 200 with an error" => Some(ServerError), Backend, Again, true;
    ErrorFirst: "its stream began with an error" => Some(ServerError), Backend, Again, true;
    NoContent: "its answer holds no content" => Some(EmptyResponse), Backend, Again, false;
    EndedUnbegun: "its stream ended before it began" => Some(EmptyResponse), Backend, Again, true;
    OutOfResources: "it gave the answer up (insufficient_system_resource, abort)" => Some(ServerError), Backend, Again, true;
    BrokenAnswer: "it closed the connection in the middle of its answer" => Some(ConnectFailure), Backend, Again, true;
    // Nothing was sent.
    Unfit: "it cannot carry what the request asks for" => None, Route, Elsewhere, false;
    AccountFull: "its account takes no more calls at the moment" => Some(RateLimited), Account, Elsewhere, false;
    // The caller's own mistakes: passed on as they are.
    BadRequest: "it answered 400: the request is wrong" => None, Caller, Never, false;
    ContextTooLong: "it answered 400: the context is too long" => None, Caller, Never, false;
    ContentRisk: "it answered 400: the content was refused" => None, Caller, Never, false;
    ToolChoice: "it answered 400: thinking does not go with a forced tool_choice" => None, Caller, Never, false;
    TooLarge: "it answered 413" => None, Caller, Never, false;
    MediaType: "it answered 415" => None, Caller, Never, false;
    Unprocessable: "it answered 422" => None, Caller, Never, false;
    OtherClientError: "it answered with another 4xx" => None, Caller, Never, false;
    // After content has reached the client.
    Cut: "it closed the connection in the middle of the stream" => None, Backend, Resume, true;
    Stalled: "it sent no content for too long" => None, Backend, Resume, true;
    SilentStream: "it sent nothing at all for too long" => None, Backend, Resume, true;
    EndedEarly: "it ended the stream before the end of the answer" => None, Backend, Resume, true;
    ErrorMidStream: "it sent an error in the middle of the stream" => None, Backend, Resume, true;
    OutOfResourcesMidStream: "it gave up in the middle of the answer (insufficient_system_resource, abort)" => None, Backend, Resume, true;
    TimeUpMidStream: "the call took longer than its deadline" => None, Clock, Never, false;
    NoRoomMidStream: "the gateway had no memory left for its answer" => None, Gateway, Never, false;
}

impl Cause {
    /// Whether it is an answer: what the caller has to change.
    #[must_use]
    pub fn is_callers_to_read(self) -> bool {
        let Verdict { side, kind, .. } = self.verdict();
        side == Side::Caller && kind.is_none()
    }
}

/// Low-cardinality name of a kind, for status.
#[must_use]
pub fn name(kind: RetryOn) -> &'static str {
    match kind {
        ConnectFailure => "ConnectFailure",
        Timeout => "Timeout",
        RateLimited => "RateLimited",
        ServerError => "ServerError",
        EmptyResponse => "EmptyResponse",
        BackendRefused => "BackendRefused",
    }
}

/// What a status and the body of its error stand for; `None` for a success.
#[must_use]
pub fn by_status(status: u16, body: &[u8]) -> Option<Cause> {
    Some(match status {
        100..=299 => return None,
        300..=399 => Cause::Redirected,
        400 => by_text(body),
        402 | 403 | 429 if status == 402 || holds(body, &BROKE) => Cause::OutOfBalance,
        401 => Cause::KeyRefused,
        403 => Cause::Forbidden,
        404 if holds(body, &["model", "DeploymentNotFound"]) => Cause::ModelUnknown,
        404 => Cause::NotFound,
        408 => Cause::RequestTimeout,
        413 => Cause::TooLarge,
        415 => Cause::MediaType,
        422 => Cause::Unprocessable,
        429 if holds(body, &["user_id"]) => Cause::RateLimitedTenant,
        429 => Cause::RateLimitedAccount,
        500 => Cause::InternalError,
        502 | 504 => Cause::BadGateway,
        503 => Cause::Overloaded,
        405..=499 => Cause::OtherClientError,
        _ => Cause::OtherServerError,
    })
}

/// What an error under a 200 stands for: by the status in its code, else by its text where that is known.
#[must_use]
pub fn by_error(body: &[u8]) -> Option<Cause> {
    let said = serde_json::from_slice::<Value>(body).ok()?;
    let inner = said.get("error").filter(|error| error.is_object()).unwrap_or(&said);
    let code = inner.get("code").or_else(|| said.get("code"));
    let status = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = status.and_then(|status| u16::try_from(status).ok()).filter(|s| (400..600).contains(s));
    match status {
        Some(status) => by_status(status, body),
        None => Some(by_text(body)).filter(|cause| *cause != Cause::BadRequest),
    }
}

/// The field that a server says it cannot carry: not the caller's mistake, as another server may.
#[must_use]
pub fn unfit_field(body: &[u8]) -> Option<&'static str> {
    let field = UNFIT.iter().find(|(text, _)| holds(body, &[text]));
    field.map(|(_, field)| *field)
}

/// How servers say that a prompt, or a prompt with its answer, is too long.
const TOO_LONG: [&str; 7] = [
    "maximum context length",
    "context_length_exceeded",
    // SGLang, Ollama.
    "longer than the model's context length",
    "exceeds the context length",
    "exceeds the available context size",
    // vLLM.
    "maximum model length",
    // SiliconFlow.
    "max_seq_len",
];

/// How others than DeepSeek say that an account has no balance left: OpenAI with 429, SiliconFlow with 403. DeepSeek's 429
/// for a limit that follows from the balance is none of these.
const BROKE: [&str; 3] = ["insufficient_quota", "\"code\":30001", "balance is insufficient"];

/// How servers say that they, or the model they serve, lack something, and the field that asks for it.
const UNFIT: [(&str, &str); 5] = [
    // Ollama.
    ("does not support thinking", "thinking"),
    ("does not support tools", "tools"),
    // vLLM without a parser for the model's tool calls.
    ("enable-auto-tool-choice", "tools"),
    // DeepSeek.
    ("response_format type is unavailable", "response_format"),
    ("unknown variant `image_url`", "messages"),
];

/// DeepSeek says what is wrong with a 400 in its text alone: `code` is the same for all of them.
fn by_text(body: &[u8]) -> Cause {
    if holds(
        body,
        &["supported API model names", "Model Not Exist", "model does not exist", "model_not_found"],
    ) {
        Cause::ModelUnknown
    } else if holds(body, &TOO_LONG) {
        Cause::ContextTooLong
    } else if holds(body, &["Content Exists Risk", "content_filter", "ResponsibleAIPolicyViolation"]) {
        Cause::ContentRisk
    } else if unfit_field(body).is_some() {
        Cause::Unfit
    } else if holds(body, &["does not support this tool_choice"]) {
        Cause::ToolChoice
    } else {
        Cause::BadRequest
    }
}

/// Whether `body` holds one of `texts`, in any case.
fn holds(body: &[u8], texts: &[&str]) -> bool {
    let found = |text: &str| body.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()));
    texts.iter().any(|text| found(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_own_mistake_is_never_retried_and_never_counted() {
        for (status, body) in [
            (400, r#"{"error":{"message":"Content Exists Risk"}}"#),
            (400, r#"{"error":{"message":"This model's maximum context length is 131072 tokens."}}"#),
            (400, r#"{"error":{"message":"Thinking mode does not support this tool_choice"}}"#),
            (400, "{}"),
            (413, ""),
            (415, "Expected request with `Content-Type: application/json`"),
            (422, "{}"),
            (409, ""),
        ] {
            let cause = by_status(status, body.as_bytes()).expect("a failure");
            let Verdict { side, next, counts, kind } = cause.verdict();
            assert_eq!(
                (side, next, counts, kind),
                (Side::Caller, Next::Never, false, None),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_model_that_a_backend_does_not_know_is_asked_of_another_one() {
        for (status, body) in [
            (400, "The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed X."),
            (400, r#"{"error":{"message":"Model Not Exist"}}"#),
            (
                400,
                r#"{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}"#,
            ),
            (404, r#"{"error":{"message":"The model `x` does not exist.","code":404}}"#),
        ] {
            assert_eq!(by_status(status, body.as_bytes()), Some(Cause::ModelUnknown), "{body}");
        }
    }

    #[test]
    fn every_servers_word_for_a_context_too_long_and_for_refused_content_is_the_callers() {
        for body in [
            "Requested token count exceeds the model's maximum context length of 8192 tokens.",
            r#"{"object":"error","message":"The input (9 tokens) is longer than the model's context length (8 tokens).","code":400}"#,
            "The decoder prompt (length 9) is longer than the maximum model length of 8.",
            r#"{"error":{"message":"the input length exceeds the context length"}}"#,
            r#"{"code":20015,"message":"length of prompt_tokens (9) must be less than max_seq_len (8).","data":null}"#,
        ] {
            assert_eq!(by_status(400, body.as_bytes()), Some(Cause::ContextTooLong), "{body}");
        }
        let filtered = r#"{"error":{"code":"400","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        assert_eq!(by_status(400, filtered.as_bytes()), Some(Cause::ContentRisk));
    }

    #[test]
    fn an_error_under_a_200_is_judged_by_the_status_in_it_or_by_its_text() {
        for (body, cause) in [
            (r#"{"error":{"object":"error","message":"no","code":400}}"#, Some(Cause::BadRequest)),
            (
                r#"{"object":"error","message":"maximum context length","code":400}"#,
                Some(Cause::ContextTooLong),
            ),
            (r#"{"error":{"message":"busy","code":"429"}}"#, Some(Cause::RateLimitedAccount)),
            (r#"{"error":{"message":"maximum context length","code":null}}"#, Some(Cause::ContextTooLong)),
            (r#"{"error":"x does not support thinking"}"#, Some(Cause::Unfit)),
            (r#"{"error":{"message":"busy","code":"invalid_request_error"}}"#, None),
            (r#"{"code":50505,"message":"busy"}"#, None),
            ("busy", None),
        ] {
            assert_eq!(by_error(body.as_bytes()), cause, "{body}");
        }
    }

    #[test]
    fn a_429_of_one_user_id_is_told_from_one_of_the_account() {
        let of = |text: &str| by_status(429, text.as_bytes());
        assert_eq!(of("concurrency limit of user_id abc"), Some(Cause::RateLimitedTenant));
        let poor = "exceeds your concurrency limit of 39 based on your remaining balance. Please top up your balance";
        assert_eq!(of(poor), Some(Cause::RateLimitedAccount));
    }

    #[test]
    fn an_account_without_balance_is_known_by_whatever_status() {
        for (status, body) in [
            (402, ""),
            (429, r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}}"#),
            (403, r#"{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}"#),
        ] {
            assert_eq!(by_status(status, body.as_bytes()), Some(Cause::OutOfBalance), "{body}");
        }
        assert_eq!(by_status(403, b"{}"), Some(Cause::Forbidden));
    }

    #[test]
    fn every_status_has_a_cause_and_a_success_has_none() {
        assert!((200..300).all(|status| by_status(status, b"").is_none()));
        assert!((300..600).all(|status| by_status(status, b"").is_some()));
    }

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let page = include_str!("../../../docs/judgement.md");
        for cause in Cause::ALL {
            let Verdict { kind, side, next, counts } = cause.verdict();
            let kind = kind.map_or("–", name);
            let counts = if counts { "yes" } else { "no" };
            let row = format!(
                "| `{}` | {} | {side:?} | {next:?} | {} | {counts} |",
                cause.as_str(),
                cause.what(),
                if kind == "–" { kind.to_owned() } else { format!("`{kind}`") },
            );
            assert!(page.contains(&row), "docs/judgement.md lacks this row:\n{row}");
        }
        assert_eq!(page.matches("\n| `").count(), Cause::ALL.len(), "docs/judgement.md has rows of its own");
    }
}
