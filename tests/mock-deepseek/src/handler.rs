//! One request, step by step: read → choose the scenario → suffer its connection fault → wait → let in → answer.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    admin,
    answer::{answer, digest},
    api::Api,
    check::House,
    connection::Connection,
    endpoint::Endpoint,
    exchange::Exchange,
    fault::{Script, Setting},
    play::{Play, Reply},
    record::Outcome,
    request::Hints,
    scenario::{ConnectionFault, Scenario},
    state::{Choice, State},
    wire::{
        errors::{ErrorKind, Refusal},
        models,
        sse::{Frame, Frames, Framing, Part},
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
    let scenario = match state.choose(Choice { header, model: hints.model.as_deref(), key: key.as_deref() }) {
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
    if scenario.header_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(scenario.header_delay_ms)).await;
    }
    let asked = Asked {
        state: &state,
        scenario: &scenario,
        head: &head,
        body: &body,
        hints: &hints,
        key: key.as_deref(),
    };
    match asked.respond(endpoint, &mut exchange) {
        Ok(Said::Json(bytes)) => {
            send_known(&state, &scenario, StatusCode::OK, "application/json", bytes, exchange)
        }
        Ok(Said::Answer { frames, length, is_stream }) => {
            play(&state, &scenario, frames, length, is_stream, exchange)
        }
        Err(refusal) => refuse(&state, &scenario, &refusal, exchange),
    }
}

/// What is said to a request that was not refused.
enum Said {
    Json(Bytes),
    Answer { frames: Frames, length: Option<usize>, is_stream: bool },
}

/// All that an answer depends on.
struct Asked<'a> {
    state: &'a State,
    scenario: &'a Scenario,
    head: &'a Parts,
    body: &'a Bytes,
    hints: &'a Hints,
    key: Option<&'a str>,
}

impl Asked<'_> {
    fn respond(&self, endpoint: Endpoint, exchange: &mut Exchange) -> Result<Said, Refusal> {
        if endpoint == Endpoint::Unknown {
            return Err(Refusal::of(ErrorKind::NotFound));
        }
        if !endpoint.takes(&self.head.method) {
            return Err(Refusal::of(ErrorKind::Method));
        }
        let key = self.let_in()?;
        self.ordered_refusal()?;
        let options = &self.state.options;
        let (api, beta) = match endpoint {
            Endpoint::Models => return Ok(Said::Json(models::list(options).into())),
            Endpoint::Balance => return Ok(Said::Json(models::balance(self.scenario).into())),
            Endpoint::Chat { beta } => (Api::Chat, beta),
            Endpoint::Fim { beta } => (Api::Fim, beta),
            _ => return Err(Refusal::of(ErrorKind::NotFound)),
        };
        self.content_type()?;
        let house = House { options, scenario: self.scenario, beta };
        let ask = api.ask(self.body, house)?;
        if models::is_broke(self.scenario) {
            return Err(Refusal::of(ErrorKind::Balance));
        }
        let user = self.hints.user_id.as_deref().unwrap_or_default();
        exchange.take_slot(options.account_of(key), &ask.model, user, self.scenario)?;

        if let Some(name) = &self.scenario.recorded {
            let recordings = &self.state.recordings;
            let (found, length) = if ask.stream {
                (recordings.frames(name, &ask, self.scenario), None)
            } else {
                let bytes = recordings.whole(name, &ask);
                let length = bytes.as_ref().map(Bytes::len);
                (bytes.map(halves), length)
            };
            let missing =
                || Refusal::saying(ErrorKind::Server, format!("mock: nothing is recorded under `{name}`"));
            return Ok(Said::Answer { frames: found.ok_or_else(missing)?, length, is_stream: ask.stream });
        }
        let answer = answer(&ask, self.scenario, options, self.body);
        if ask.stream {
            return Ok(Said::Answer { frames: api.frames(answer), length: None, is_stream: true });
        }
        let whole = api.whole(&answer);
        let length = Some(whole.len());
        Ok(Said::Answer { frames: halves(whole), length, is_stream: false })
    }

    /// The key, if it is accepted.
    fn let_in(&self) -> Result<&str, Refusal> {
        let Some(key) = self.key else { return Err(Refusal::of(ErrorKind::AuthFormat)) };
        if self.state.options.accepts(key) {
            return Ok(key);
        }
        let tail: String = key.chars().skip(key.chars().count().saturating_sub(4)).collect();
        Err(Refusal::saying(
            ErrorKind::Auth,
            format!("Authentication Fails, Your api key: ****{tail} is invalid"),
        ))
    }

    /// The refusal that the scenario orders.
    fn ordered_refusal(&self) -> Result<(), Refusal> {
        let Scenario { status, error, error_after, message, .. } = self.scenario;
        let kind = match (error, status) {
            (Some(kind), _) => *kind,
            (None, Some(status)) => ErrorKind::of_status(*status),
            (None, None) => return Ok(()),
        };
        if error_after.is_some() {
            // It is for the frame.
            return Ok(());
        }
        let refusal =
            message.as_ref().map_or_else(|| Refusal::of(kind), |text| Refusal::saying(kind, text.clone()));
        Err(refusal.with_status(*status))
    }

    fn content_type(&self) -> Result<(), Refusal> {
        let given = self.head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if given == Some(b"application/json") || !self.state.options.flavor.is_deepseek() {
            return Ok(());
        }
        Err(Refusal::of(ErrorKind::ContentType))
    }
}

/// The API key: `Bearer` wins over `x-api-key`.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| text("x-api-key")).or_else(|| text("api-key")).map(|key| key.trim().to_owned())
}

/// A whole answer as two frames, so that it can be cut in the middle.
fn halves(mut whole: Bytes) -> Frames {
    let first = whole.split_to(whole.len() / 2);
    let frames = [Frame { part: Part::Data, bytes: first }, Frame { part: Part::Finish, bytes: whole }];
    Box::new(frames.into_iter())
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
    let error = Refusal::of(kind).with_status(scenario.status).json(state.options.flavor);
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
