//! One request, step by step: read → choose the scenario → suffer its connection fault → wait → let in → answer.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    admin,
    answer::digest,
    connection::Connection,
    endpoint::Endpoint,
    exchange::Exchange,
    fault::{Script, Setting},
    play::{Play, Reply},
    record::Outcome,
    request::Hints,
    respond::{Asked, Said},
    scenario::{ConnectionFault, Scenario},
    state::{Choice, State},
    wire::{
        errors::{ErrorKind, Refusal},
        sse::{Frames, Framing, Part},
    },
};

/// Answers a request of any kind.
pub(crate) async fn handle(
    state: Arc<State>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let endpoint = Endpoint::of(request.uri().path());
    if request.uri().path().starts_with(admin::PREFIX) {
        return Ok(admin::handle(&state, request).await);
    }
    if let (Endpoint::Chat { .. }, Some(bench)) = (endpoint, state.bench())
        && !request.headers().contains_key(SCENARIO)
        && request.headers().contains_key(header::AUTHORIZATION)
    {
        state.bench_requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // A body that breaks off has nobody to answer.
        let body =
            request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Ok(bench.reply(&body));
    }
    Ok(exchange(state, connection, request, endpoint).await)
}

/// The header that names a scenario.
pub(crate) const SCENARIO: &str = "x-mock-scenario";

async fn exchange(
    state: Arc<State>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
    endpoint: Endpoint,
) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let mut exchange = Exchange::begin(&state, &connection, &head, endpoint);
    let is_reused = connection.count_request() > 0;
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        exchange.end(Outcome::Cancelled);
        return Response::new(Reply::known(Bytes::new(), None));
    };
    let hints = Hints::read(&body);
    let key = key_of(&head.headers);
    let header = head.headers.get(SCENARIO).and_then(|value| value.to_str().ok());
    let scenario = match state.choose(Choice {
        header,
        model: hints.model.as_deref(),
        key: key.as_deref(),
        user: Some(hints.user()),
        aside: endpoint == Endpoint::Balance,
    }) {
        Ok(scenario) => scenario,
        Err(error) => {
            let refusal = Refusal::saying(ErrorKind::BadRequest, error.to_string());
            return refuse(&state, &Scenario::plain(), &refusal, exchange);
        }
    };
    exchange.learn(&body, &hints, key.as_deref(), &scenario);

    let fault =
        scenario.connection.or((is_reused && scenario.close_on_reuse).then_some(ConnectionFault::Close));
    match fault {
        // The client's going away still shows as a cancellation.
        Some(ConnectionFault::Hang) => return std::future::pending().await,
        Some(fault) => {
            connection.doom(fault);
            return std::future::pending().await;
        }
        None => {}
    }
    let asked = Asked {
        state: &state,
        scenario: &scenario,
        head: &head,
        body: &body,
        hints: &hints,
        key: key.as_deref(),
    };
    // The account's place is held from here on, as on the real one: while the client waits for headers too.
    let said = asked.respond(endpoint, &mut exchange);
    let is_at_once = said.as_ref().is_err_and(|refusal| refusal.kind.is_for_concurrency());
    if scenario.header_delay_ms > 0 && !is_at_once {
        tokio::time::sleep(Duration::from_millis(scenario.header_delay_ms)).await;
    }
    match said {
        Ok(Said::Json(bytes)) => {
            send_known(&state, &scenario, StatusCode::OK, "application/json", bytes, exchange)
        }
        Ok(Said::Answer { frames, length, is_stream }) => {
            play(&state, &scenario, frames, length, is_stream, exchange)
        }
        Err(refusal) => refuse(&state, &scenario, &refusal, exchange),
    }
}

/// The API key: `Bearer` wins over `x-api-key`.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| text("x-api-key")).or_else(|| text("api-key")).map(|key| key.trim().to_owned())
}

fn refuse(state: &State, scenario: &Scenario, refusal: &Refusal, exchange: Exchange) -> Response<Reply> {
    let body = refusal.body(state.options.flavor);
    let mut response = send_known(state, scenario, refusal.status, refusal.content_type(), body, exchange);
    let headers = response.headers_mut();
    if let Some(Ok(value)) = scenario.retry_after.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::RETRY_AFTER, value);
    }
    if let Some(ms) = scenario.retry_after_ms {
        headers.insert("retry-after-ms", HeaderValue::from(ms));
    }
    response
}

fn send_known(
    state: &State,
    scenario: &Scenario,
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    exchange: Exchange,
) -> Response<Reply> {
    exchange.answered(status);
    let headers = headers(state, scenario, content_type, exchange.id());
    with(status, headers, Reply::known(body, Some(exchange)))
}

fn play(
    state: &State,
    scenario: &Scenario,
    frames: Frames,
    length: Option<usize>,
    is_stream: bool,
    exchange: Exchange,
) -> Response<Reply> {
    exchange.answered(StatusCode::OK);
    let content_type = if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    let mut headers = headers(state, scenario, content_type, exchange.id());
    // Padding before the answer makes its length unknown.
    let length = length.filter(|_| scenario.keep_alives == 0);
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let kind = scenario.error.unwrap_or(ErrorKind::Overloaded);
    let error = Refusal::of(kind).with_status(scenario.status).frame(state.options.flavor);
    let setting = Setting {
        scenario: scenario.clone(),
        is_stream,
        error: Framing::of(scenario).data(Part::Data, &error),
    };
    with(StatusCode::OK, headers, Reply::Played(Play::new(Script::new(frames, setting), length, exchange)))
}

fn with(status: StatusCode, headers: HeaderMap, reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn headers(state: &State, scenario: &Scenario, content_type: &'static str, id: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let content_type = match scenario.content_type.as_deref().map(HeaderValue::from_str) {
        Some(Ok(value)) => value,
        _ => HeaderValue::from_static(content_type),
    };
    headers.insert(header::CONTENT_TYPE, content_type);
    if state.options.flavor.is_deepseek() {
        let vary = "origin, access-control-request-method, access-control-request-headers";
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        let trace = format!("{:016x}{:016x}", digest(&state.options.name), digest(id));
        if let Ok(trace) = HeaderValue::from_str(&trace) {
            headers.insert("x-ds-trace-id", trace);
        }
    }
    headers
}
