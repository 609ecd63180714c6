//! One attempt at one backend: send, wait until the answer has really begun, judge.
//!
//! What "begun" means is in [`super::beginning`]. Until then nothing has reached the client, and another backend can be
//! asked.

use super::beginning::{self, Beginning};
use super::client::ConnectError;
use super::failure::{Failure, retry_after};
use super::judge::{Cause, Side, by_error, by_status, unfit_field};
use super::splice::SplicedBody;
use crate::pipeline::frames::{Framer, data_of};
use crate::pipeline::shed::Buffered;
use crate::snapshot::{RouteBackend, UpstreamRequest};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout, timeout_at};

/// An answer that has begun.
pub struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    /// What has been read of the body.
    pub first: VecDeque<Bytes>,
    /// The rest of it; `None` when all of it was read.
    pub rest: Option<Incoming>,
    /// Whether it is an event stream.
    pub stream: bool,
    /// What is held in memory of it.
    pub buffered: Buffered,
}

/// How long an attempt may take, and how little it may bring.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To its first token (a stream's) or to its end (any other's); `None`: as long as the call has.
    pub begin: Option<Duration>,
    /// Between two bytes, once headers have arrived.
    pub byte_idle: Duration,
    /// Whether a stream that ends without content is an answer: one that goes on with another may have nothing to add.
    pub may_be_silent: bool,
    /// The largest answer in one piece that is read to its end, in bytes. A larger one is passed on as it comes.
    pub most_whole: usize,
}

/// How much of an error's body is read.
const MAX_ERROR_BODY: usize = 64 << 10;
/// How long an error's body may take.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a stream may come before its first token: comments, blank lines.
const MAX_PADDING: usize = 1 << 20;

/// Sends the request and waits for the answer to begin; what is read of it by then is counted in `buffered`.
pub async fn attempt(
    backend: &RouteBackend,
    to: UpstreamRequest,
    headers: HeaderMap,
    body: SplicedBody,
    limits: Limits,
    buffered: Buffered,
) -> Result<Answer, Failure> {
    let until = limits.begin.map(|limit| Instant::now() + limit);
    let response = within(until, send(backend, to, headers, body), Cause::NoHeaders).await?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return refused(head, body, buffered).await;
    }
    let stream = has_content_type(&head.headers, "text/event-stream");
    let late = if stream { Cause::NoFirstToken } else { Cause::NoWholeAnswer };
    within(until, begin(head, body, stream, limits, buffered), late).await
}

/// What `step` gives, or `late` when it takes too long.
async fn within<T>(
    until: Option<Instant>,
    step: impl Future<Output = Result<T, Failure>>,
    late: Cause,
) -> Result<T, Failure> {
    let step = pin!(step);
    match until {
        None => step.await,
        Some(until) => timeout_at(until, step).await.unwrap_or_else(|_| Err(late.into())),
    }
}

async fn send(
    backend: &RouteBackend,
    to: UpstreamRequest,
    mut headers: HeaderMap,
    body: SplicedBody,
) -> Result<Response<Incoming>, Failure> {
    if let Some((name, key)) = to.key {
        headers.insert(name, key.value().clone());
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.uri;
    *request.headers_mut() = headers;
    backend.client.request(request).await.map_err(|error| Failure::from(connection_cause(&error)))
}

fn connection_cause(error: &hyper_util::client::legacy::Error) -> Cause {
    let Some(source) = error.source() else { return Cause::ClosedUnanswered };
    if let Some(connect) = source.downcast_ref::<ConnectError>() {
        return match connect {
            ConnectError::Timeout => Cause::ConnectTimeout,
            ConnectError::Dns => Cause::DnsFailed,
            ConnectError::Tls => Cause::TlsFailed,
            ConnectError::Failed => Cause::ConnectFailed,
        };
    }
    match source.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse() => Cause::NotHttp,
        Some(error) if error.is_canceled() => Cause::ClosedUnsent,
        _ => Cause::ClosedUnanswered,
    }
}

async fn begin(
    head: http::response::Parts,
    body: Incoming,
    stream: bool,
    limits: Limits,
    mut buffered: Buffered,
) -> Result<Answer, Failure> {
    if has_content_type(&head.headers, "text/html") {
        return Err(Cause::WebPage.into());
    }
    let mut body = Reader { body, byte_idle: limits.byte_idle };
    let mut first = VecDeque::new();
    let ended = if stream {
        first_token(&mut body, &mut first, limits.may_be_silent, &mut buffered).await
    } else {
        whole(&mut body, &mut first, limits.most_whole, &mut buffered).await
    };
    match ended {
        Ok(ended) => Ok(Answer { head, first, rest: (!ended).then_some(body.body), stream, buffered }),
        Err(failure) => told_late(head, failure, buffered),
    }
}

/// A refusal of the caller's request that came under a 200, as some servers send it with a stream, is an answer like one
/// with a status of its own.
fn told_late(
    mut head: http::response::Parts,
    failure: Failure,
    buffered: Buffered,
) -> Result<Answer, Failure> {
    let Failure { cause, text: Some(error), .. } = &failure else { return Err(failure) };
    if !cause.is_callers_to_read() {
        return Err(failure);
    }
    head.status = StatusCode::BAD_REQUEST;
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Answer {
        head,
        first: VecDeque::from([Bytes::copy_from_slice(error)]),
        rest: None,
        stream: false,
        buffered,
    })
}

/// What a 200 that is an error, or nothing, stands for. `error` is its data.
fn failed(cause: Cause, error: &[u8]) -> Failure {
    let cause = match cause {
        Cause::ErrorFirst | Cause::ErrorAnswer => by_error(error).unwrap_or(cause),
        cause => cause,
    };
    let text =
        cause.is_callers_to_read() || matches!(cause, Cause::RateLimitedAccount | Cause::RateLimitedTenant);
    Failure { text: text.then(|| error.into()), ..refusal(cause, error) }
}

/// A failure as far as it may be told: providers quote the end of the key in what they say of an account.
fn refusal(cause: Cause, error: &[u8]) -> Failure {
    match cause.verdict().side {
        _ if cause == Cause::Unfit => Failure::unfit(unfit_field(error).unwrap_or("messages")),
        Side::Account => Failure::from(cause),
        _ => Failure::quoting(cause, error),
    }
}

/// Reads a stream up to its first token. Returns whether that was all of it.
async fn first_token(
    body: &mut Reader,
    first: &mut VecDeque<Bytes>,
    may_be_silent: bool,
    buffered: &mut Buffered,
) -> Result<bool, Failure> {
    let judge = |events: &[u8]| match beginning::of_events(events) {
        Beginning::Failed(Cause::NoContent) if may_be_silent => Beginning::Begun,
        beginning => beginning,
    };
    let mut framer = Framer::default();
    let mut seen = 0;
    while let Some(piece) = body.next().await? {
        seen += piece.len();
        buffered.hold(seen).map_err(|_| Cause::NoRoom)?;
        let Some(events) = framer.push(piece) else { continue };
        let beginning = judge(&events);
        first.push_back(events);
        match beginning {
            Beginning::NotYet if seen <= MAX_PADDING => {}
            Beginning::NotYet | Beginning::Begun => {
                first.extend(Some(framer.rest()).filter(|rest| !rest.is_empty()));
                return Ok(false);
            }
            Beginning::Failed(cause) => {
                let error = first.back().and_then(|events| data_of(events).next());
                return Err(failed(cause, error.unwrap_or_default()));
            }
        }
    }
    // The last event may lack its blank line.
    let rest = framer.rest();
    match judge(&rest) {
        Beginning::Begun => {
            first.push_back(rest);
            Ok(true)
        }
        Beginning::Failed(cause) => Err(failed(cause, data_of(&rest).next().unwrap_or_default())),
        Beginning::NotYet => Err(Cause::EndedUnbegun.into()),
    }
}

/// Reads a JSON answer to its end: a part of it is of no use to the client, and one that breaks off can still be
/// replaced. A larger one, or one that there is no room for, is passed on as it comes. Returns whether all of it was read.
async fn whole(
    body: &mut Reader,
    first: &mut VecDeque<Bytes>,
    most: usize,
    buffered: &mut Buffered,
) -> Result<bool, Failure> {
    let mut seen = 0;
    while seen <= most && buffered.hold(seen).is_ok() {
        match body.next().await? {
            Some(piece) => {
                seen += piece.len();
                first.push_back(piece);
            }
            None => return judge_whole(first).map(|()| true),
        }
    }
    Ok(false)
}

fn judge_whole(pieces: &VecDeque<Bytes>) -> Result<(), Failure> {
    let body = joined(pieces);
    match beginning::of_answer(&body) {
        Beginning::Failed(cause) => Err(failed(cause, &body)),
        Beginning::NotYet | Beginning::Begun => Ok(()),
    }
}

/// Pieces as one; not copied where there is only one.
pub fn joined(pieces: &VecDeque<Bytes>) -> Cow<'_, [u8]> {
    match pieces.len() {
        0 => Cow::default(),
        1 => Cow::Borrowed(&pieces[0]),
        _ => pieces.iter().flat_map(|piece| piece.iter().copied()).collect(),
    }
}

/// A body that is given up when no byte comes for too long.
struct Reader {
    body: Incoming,
    byte_idle: Duration,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = timeout(self.byte_idle, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Cause::Silent)? else { return Ok(None) };
            if let Ok(piece) = frame.map_err(|_| Cause::BrokenAnswer)?.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}

/// An answer that is not a success: the caller's own mistake is an answer, anything else a failure.
async fn refused(head: http::response::Parts, body: Incoming, buffered: Buffered) -> Result<Answer, Failure> {
    let body = timeout(ERROR_BODY_TIMEOUT, Limited::new(body, MAX_ERROR_BODY).collect()).await;
    let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    // A status of the 100s is none of a final answer.
    let cause = by_status(head.status.as_u16(), &body).unwrap_or(Cause::NotHttp);
    if cause.is_callers_to_read() {
        return Ok(Answer { head, first: VecDeque::from([body]), rest: None, stream: false, buffered });
    }
    let mut failure = refusal(cause, &body);
    failure.retry_after = retry_after(&head.headers, SystemTime::now());
    failure.text = (head.status.as_u16() == 429).then(|| Box::from(&*body));
    Err(failure)
}

fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::client::Clients;

    #[tokio::test]
    async fn a_name_without_an_address_is_told_from_a_server_that_is_gone() {
        // Other tests of this process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Clients::default().get(None, Duration::from_secs(10)).expect("a client");
        // Longer than a name may be: no server of names is asked for it.
        let name = format!("{}.", "x".repeat(60)).repeat(5);
        for (authority, cause) in
            [(format!("{name}invalid:1"), Cause::DnsFailed), ("127.0.0.1:1".to_owned(), Cause::ConnectFailed)]
        {
            let mut request = Request::new(SplicedBody::default());
            *request.uri_mut() = format!("http://{authority}/").parse().expect("a URL");
            let error = client.request(request).await.expect_err("nobody is there");
            assert_eq!(connection_cause(&error), cause, "{authority}");
        }
    }
}
