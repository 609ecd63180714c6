//! One attempt at one backend: send, wait until the answer has really begun, judge.
//!
//! "Begun" is the first frame with content of a stream, the first byte of content of anything else: a 200 with
//! nothing in it, or with keep-alive comments only, is not an answer. Until then nothing has reached the client, and
//! another backend can be asked.

use super::judge::{Failure, by_status, retry_after};
use super::splice::SplicedBody;
use crate::pipeline::frames::{carries_data, first_data};
use crate::snapshot::{RouteBackend, UpstreamRequest};
use bytes::Bytes;
use deepseek_crds::v1alpha1::RetryOn;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::time::Duration;

/// An answer that has begun.
pub struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    /// What has been read of the body.
    pub first: VecDeque<Bytes>,
    /// The rest of it.
    pub body: Incoming,
    /// Whether it is an event stream.
    pub stream: bool,
}

/// How much of an error's body is read, for its message.
const MAX_ERROR_BODY: usize = 16 << 10;
/// How long an error's body may take.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a stream may come before its first content: comments, blank lines.
const MAX_PADDING: usize = 1 << 20;

/// Sends the request and waits for the answer to begin, a stream's for at most `first_token`.
pub async fn attempt(
    backend: &RouteBackend,
    to: UpstreamRequest,
    headers: HeaderMap,
    body: SplicedBody,
    first_token: Option<Duration>,
) -> Result<Answer, Failure> {
    let begun = async {
        let response = send(backend, to, headers, body).await?;
        begin(response).await
    };
    match first_token {
        None => begun.await,
        Some(limit) => match tokio::time::timeout(limit, begun).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(RetryOn::Timeout, format!("no first token within {limit:?}"))),
        },
    }
}

async fn send(
    backend: &RouteBackend,
    to: UpstreamRequest,
    mut headers: HeaderMap,
    body: SplicedBody,
) -> Result<Response<Incoming>, Failure> {
    if let Some((name, value)) = to.key {
        headers.insert(name, value);
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.uri;
    *request.headers_mut() = headers;
    backend.client.request(request).await.map_err(|error| connection_failure(&error))
}

fn connection_failure(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::TimedOut
        {
            return Failure::new(RetryOn::Timeout, "it could not be connected in time");
        }
        source = cause.source();
    }
    let detail = if error.is_connect() {
        "it cannot be connected"
    } else {
        "it closed the connection without an answer"
    };
    Failure::new(RetryOn::ConnectFailure, detail)
}

async fn begin(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    if let Some(kind) = by_status(head.status) {
        return Err(refused(kind, head, body).await);
    }
    let stream = is_event_stream(&head.headers);
    let answer = Answer { head, first: VecDeque::new(), body, stream };
    if !answer.head.status.is_success() {
        return Ok(answer);
    }
    if content_type(&answer.head.headers).starts_with("text/html") {
        return Err(Failure::new(RetryOn::EmptyResponse, "it answered 200 with a web page"));
    }
    first_content(answer).await
}

async fn first_content(mut answer: Answer) -> Result<Answer, Failure> {
    let mut seen = 0;
    loop {
        let Some(frame) = answer.body.frame().await else {
            return Err(Failure::new(RetryOn::EmptyResponse, "it answered 200 with nothing in it"));
        };
        let frame = frame.map_err(|_| {
            Failure::new(RetryOn::ConnectFailure, "it closed the connection before its answer began")
        })?;
        let Ok(piece) = frame.into_data() else { continue };
        seen += piece.len();
        let begun = if answer.stream { carries_data(&piece) } else { !piece.trim_ascii().is_empty() };
        answer.first.push_back(piece);
        if begun {
            return judge_beginning(answer);
        }
        if seen > MAX_PADDING {
            return Ok(answer);
        }
    }
}

/// An error where an answer should begin is a failure, as if it were a status; so is a stream that ends at once.
fn judge_beginning(answer: Answer) -> Result<Answer, Failure> {
    let Some(last) = answer.first.back() else { return Ok(answer) };
    let data = if answer.stream { first_data(last).unwrap_or_default() } else { last.trim_ascii() };
    if data.starts_with(b"{\"error\"") {
        let what = "it answered 200 with an error";
        return Err(Failure::new(RetryOn::ServerError, with_message(what, data)));
    }
    if answer.stream && data == b"[DONE]" {
        return Err(Failure::new(RetryOn::EmptyResponse, "its stream ended before it began"));
    }
    Ok(answer)
}

async fn refused(kind: RetryOn, head: http::response::Parts, body: Incoming) -> Failure {
    let status = head.status;
    let retry_after = retry_after(&head.headers);
    let detail = match kind {
        // Providers quote the end of the key in these.
        RetryOn::BackendRefused if status == StatusCode::PAYMENT_REQUIRED => {
            "its account is out of balance (402)".to_owned()
        }
        RetryOn::BackendRefused => format!("it refused the gateway's key ({})", status.as_u16()),
        _ => {
            let body =
                tokio::time::timeout(ERROR_BODY_TIMEOUT, Limited::new(body, MAX_ERROR_BODY).collect()).await;
            let body =
                body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
            with_message(&format!("it answered {status}"), &body)
        }
    };
    Failure { kind, detail: detail.into(), retry_after }
}

/// `what`, with the message of an error envelope behind it where there is one.
fn with_message(what: &str, envelope: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(envelope).ok().and_then(|body| {
        let error = body.get("error").unwrap_or(&body);
        error.get("message").and_then(serde_json::Value::as_str).map(str::to_owned)
    });
    match message {
        Some(message) => format!("{what}: {}", message.trim_end_matches('.')),
        None => what.to_owned(),
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with("text/event-stream")
}
