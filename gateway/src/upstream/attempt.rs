//! One attempt at one backend: send, wait until the answer has really begun, judge.
//!
//! What "begun" means is in [`super::beginning`]. Until then nothing has reached the client, and another backend can be
//! asked.

use super::beginning::{self, Beginning};
use super::judge::{Failure, by_status, retry_after};
use super::splice::SplicedBody;
use crate::pipeline::frames::{Framer, data_of};
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
/// How much of a stream may come before its first token: comments, blank lines.
const MAX_PADDING: usize = 1 << 20;
/// The largest answer in one piece that is read to its end before any of it goes to the client.
const MAX_WHOLE: usize = 1 << 20;

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
        return Err(refused(kind, &head, body).await);
    }
    let stream = head.status.is_success() && has_content_type(&head.headers, "text/event-stream");
    let answer = Answer { head, first: VecDeque::new(), body, stream };
    if !answer.head.status.is_success() {
        return Ok(answer);
    }
    if has_content_type(&answer.head.headers, "text/html") {
        return Err(Failure::new(RetryOn::EmptyResponse, "it answered 200 with a web page"));
    }
    if answer.stream { first_token(answer).await } else { whole(answer).await }
}

/// Reads a stream up to its first token.
async fn first_token(mut answer: Answer) -> Result<Answer, Failure> {
    let mut framer = Framer::default();
    let mut seen = 0;
    while let Some(piece) = next(&mut answer.body).await? {
        seen += piece.len();
        let Some(events) = framer.push(piece) else { continue };
        let beginning = beginning::of_events(&events);
        answer.first.push_back(events);
        match beginning {
            Beginning::NotYet if seen <= MAX_PADDING => {}
            Beginning::NotYet | Beginning::Begun => {
                let rest = framer.rest();
                if !rest.is_empty() {
                    answer.first.push_back(rest);
                }
                return Ok(answer);
            }
            Beginning::Silent(what) => return Err(Failure::silent(what)),
            Beginning::Failed(kind, what) => {
                let envelope =
                    answer.first.back().and_then(|events| data_of(events).next()).unwrap_or_default();
                return Err(Failure::new(kind, with_code(what, envelope)));
            }
        }
    }
    // The last event may lack its blank line.
    let rest = framer.rest();
    match beginning::of_events(&rest) {
        Beginning::Begun => {
            answer.first.push_back(rest);
            Ok(answer)
        }
        Beginning::Failed(kind, what) => {
            Err(Failure::new(kind, with_code(what, data_of(&rest).next().unwrap_or_default())))
        }
        Beginning::Silent(what) => Err(Failure::silent(what)),
        Beginning::NotYet => Err(Failure::new(RetryOn::EmptyResponse, "its stream ended before it began")),
    }
}

/// Reads a JSON answer to its end: a part of it is of no use to the client, and one that breaks off can still be
/// replaced. A larger one is passed on as it comes.
async fn whole(mut answer: Answer) -> Result<Answer, Failure> {
    let mut seen = 0;
    while seen <= MAX_WHOLE {
        match next(&mut answer.body).await? {
            Some(piece) => {
                seen += piece.len();
                answer.first.push_back(piece);
            }
            None => return judge_whole(answer),
        }
    }
    Ok(answer)
}

fn judge_whole(answer: Answer) -> Result<Answer, Failure> {
    let joined;
    let body: &[u8] = match answer.first.len() {
        0 => b"",
        1 => &answer.first[0],
        _ => {
            joined = answer.first.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<u8>>();
            &joined
        }
    };
    match beginning::of_answer(body) {
        Beginning::Failed(kind, what) => Err(Failure::new(kind, with_code(what, body))),
        Beginning::Silent(what) => Err(Failure::silent(what)),
        Beginning::NotYet | Beginning::Begun => Ok(answer),
    }
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        let broken =
            |_| Failure::new(RetryOn::ConnectFailure, "it closed the connection in the middle of its answer");
        if let Ok(piece) = frame.map_err(broken)?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

async fn refused(kind: RetryOn, head: &http::response::Parts, body: Incoming) -> Failure {
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
            with_code(&format!("it answered {status}"), &body)
        }
    };
    Failure {
        kind,
        detail: detail.into(),
        retry_after,
        key_refused: status == StatusCode::UNAUTHORIZED,
        counts: true,
    }
}

/// `what`, with the code of an error envelope behind it. Its message stays here: providers quote keys and prompts in it.
fn with_code(what: &str, envelope: &[u8]) -> String {
    let is_code = |text: &&str| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let body = serde_json::from_slice::<serde_json::Value>(envelope).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let code = ["type", "code"].into_iter().filter_map(|field| error.get(field)?.as_str()).find(is_code);
    match code {
        Some(code) => format!("{what} ({code})"),
        None => what.to_owned(),
    }
}

fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
}
