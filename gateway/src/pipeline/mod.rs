//! The life of a request: identify → match → admit → dispatch → relay → settle.
//!
//! [`handle`] is the spine; each step is a module of the same name. `docs/request-lifecycle.md` tells the story.

pub mod admit;
pub mod body;
pub mod check;
pub mod dispatch;
pub mod endpoint;
pub mod error;
pub mod frames;
pub mod identify;
pub mod metrics;
pub mod models;
pub mod quota;
pub mod relay;
pub mod reply;
pub mod settle;
pub mod tap;
pub mod window;

use crate::drain::{Drain, Token};
use crate::snapshot::{Consumer, Route, Shared, Snapshot};
use crate::upstream::headers;
use arc_swap::ArcSwap;
use check::Call;
use endpoint::Endpoint;
use error::{Code, GatewayError};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use relay::{InFlight, Relay};
use reply::ReplyBody;
use settle::{Ending, Settlement};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Header that names a request in logs and to the provider; the client's own is kept.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every request needs.
pub struct Context {
    /// What the gateway serves by.
    pub snapshot: ArcSwap<Snapshot>,
    /// What outlives snapshots.
    pub shared: Arc<Shared>,
    /// Counts what is in flight, and says when to leave.
    pub drain: Drain,
}

/// When a request's head arrived, and what counts it as in flight until its answer has ended.
type Begun = (Instant, (Token, InFlight));

/// Answers one request. Never fails: what goes wrong becomes an answer.
pub async fn handle(context: &Context, request: Request<Incoming>) -> Response<ReplyBody> {
    let started = Instant::now();
    let in_flight = (context.drain.request(), InFlight::enter(&context.shared.metrics.in_flight));
    let request_id = request.headers().get(REQUEST_ID).cloned().unwrap_or_else(new_request_id);
    let mut response = match Endpoint::find(request.method(), request.uri().path()) {
        Ok(endpoint) => serve(context, endpoint, request, &request_id, (started, in_flight)).await,
        Err(error) => refuse(context, "unknown", error),
    };
    response.headers_mut().entry(REQUEST_ID).or_insert(request_id);
    response
}

async fn serve(
    context: &Context,
    endpoint: Endpoint,
    request: Request<Incoming>,
    request_id: &HeaderValue,
    begun: Begun,
) -> Response<ReplyBody> {
    let snapshot = context.snapshot.load_full();
    let (head, body) = request.into_parts();
    let consumer = match identify::identify(&context.shared, &snapshot, &head.headers) {
        Ok(consumer) => consumer,
        Err(error) => return refuse(context, endpoint.as_str(), error),
    };
    if endpoint == Endpoint::Models {
        context.shared.metrics.answered(None, endpoint.as_str(), 200, "");
        return models::list(&snapshot, &consumer);
    }
    let matched = async {
        let body = body::read(&head.headers, body, snapshot.settings.max_request_body_bytes).await?;
        let call = check::check(endpoint, &body)?;
        let route = match_route(&snapshot, &consumer, &call)?;
        Ok((call, route))
    };
    let (call, route) = match matched.await {
        Ok(matched) => matched,
        Err(error) => return refuse(context, endpoint.as_str(), error),
    };
    let mut headers = headers::for_backend(head.headers);
    headers.insert(REQUEST_ID, request_id.clone());
    answer(context, route, consumer, &call, headers, begun).await
}

/// The route that serves the model asked for. A model that this caller may not use does not exist for it.
fn match_route(snapshot: &Snapshot, consumer: &Consumer, call: &Call) -> Result<Arc<Route>, GatewayError> {
    let route = snapshot.models.get(&call.model).filter(|route| models::may_call(consumer, route));
    route.cloned().ok_or_else(|| {
        let message = "The model does not exist or you do not have access to it. GET /v1/models lists what you may use.";
        GatewayError::new(Code::ModelNotFound, message).param("model")
    })
}

async fn answer(
    context: &Context,
    route: Arc<Route>,
    consumer: Arc<Consumer>,
    call: &Call,
    headers: HeaderMap,
    (started, in_flight): Begun,
) -> Response<ReplyBody> {
    route.state.requests.fetch_add(1, Ordering::Relaxed);
    let deadline = tokio::time::Instant::from_std(started) + route.request_timeout();
    let mut settlement = Settlement {
        shared: Arc::clone(&context.shared),
        route: Arc::clone(&route),
        consumer: Arc::clone(&consumer),
        endpoint: call.endpoint,
        started,
        reservations: Vec::new(),
        estimated_input: call.estimated_input,
        status: 499,
        attempts: 0,
        backend: None,
        usage: None,
        estimated_output: 0,
        request_id: headers.get(REQUEST_ID).cloned().unwrap_or_else(new_request_id),
        ending: Ending::Cancelled,
        in_flight,
    };
    let mut limits = HeaderMap::new();
    let dispatched = match admit::admit(&context.shared, &route, &consumer, call) {
        Ok(admission) => {
            settlement.reservations = admission.reservations;
            limits = admission.headers;
            dispatch::dispatch(&route, call, headers, &mut settlement, deadline).await
        }
        Err(error) => Err(error),
    };
    let mut response = match dispatched {
        Ok(answer) => relay(answer, settlement, deadline),
        Err(error) => {
            settlement.status = error.code.status().as_u16();
            settlement.ending = Ending::Refused(error.code.as_str());
            error.respond()
        }
    };
    response.headers_mut().extend(limits);
    response
}

fn relay(
    mut answer: crate::upstream::attempt::Answer,
    mut settlement: Settlement,
    deadline: tokio::time::Instant,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Full(None));
    settlement.status = answer.head.status.as_u16();
    if answer.stream {
        settlement.route.state.metrics.first_token.observe(settlement.started.elapsed().as_secs_f64());
    }
    *response.status_mut() = answer.head.status;
    std::mem::swap(response.headers_mut(), &mut answer.head.headers);
    headers::for_client(response.headers_mut(), answer.stream);
    *response.body_mut() = ReplyBody::Relay(Box::new(Relay::new(answer, settlement, deadline)));
    response
}

/// Answers with an error before a route was found.
fn refuse(context: &Context, endpoint: &'static str, error: GatewayError) -> Response<ReplyBody> {
    context.shared.metrics.answered(None, endpoint, error.code.status().as_u16(), error.code.as_str());
    tracing::debug!(
        endpoint,
        status = error.code.status().as_u16(),
        reason = error.code.as_str(),
        "request refused"
    );
    error.respond()
}

fn new_request_id() -> HeaderValue {
    let id = format!("req_{:032x}", rand::random::<u128>());
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("req_unknown"))
}
