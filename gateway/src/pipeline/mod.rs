//! The life of a request: identify → match → admit → dispatch → relay → settle.
//!
//! [`handle`] is the spine; each step is a module of the same name. `docs/request-lifecycle.md` tells the story.

pub mod admit;
pub mod body;
pub mod cache;
pub mod check;
mod choices;
pub mod deadline;
pub mod dispatch;
pub mod endpoint;
pub mod error;
pub mod fallback;
pub mod flow;
pub mod frames;
pub mod identify;
pub mod in_flight;
mod json;
pub mod mend;
pub mod metrics;
pub mod models;
pub mod opening;
pub mod quota;
pub mod relay;
pub mod reply;
pub mod resume;
pub mod settle;
pub mod shed;
mod stream;
pub mod tap;
pub mod watch;
pub mod window;

use crate::drain::Drain;
use crate::snapshot::{Consumer, Route, Shared, Snapshot};
use crate::upstream::headers;
use arc_swap::ArcSwap;
use body::Room;
use check::Call;
use dispatch::{Errand, Trail};
use endpoint::Endpoint;
use error::{Code, GatewayError};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use opening::{respond, run};
use relay::{Form, Manner};
use reply::ReplyBody;
use settle::{Ending, Settlement, Source};
use shed::{Buffered, Place};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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

/// When a request's head arrived, and what counts the bytes of its body.
type Begun = (Instant, Buffered);

/// Answers one request. Never fails: what goes wrong becomes an answer. The request is in flight as long as its place is
/// held, which is to be let go with the answer's body.
pub async fn handle(context: &Context, request: Request<Incoming>) -> (Response<ReplyBody>, Option<Place>) {
    let started = Instant::now();
    let request_id = request.headers().get(REQUEST_ID).and_then(own).unwrap_or_else(new_request_id);
    let found = Endpoint::find(request.method(), request.uri().path());
    let label = found.as_ref().map_or("unknown", |endpoint| endpoint.as_str());
    let placed = found.and_then(|endpoint| {
        let settings = &context.snapshot.load().settings;
        Ok((endpoint, context.shared.shed.enter(settings, context.drain.request())?))
    });
    let (mut response, place) = match placed {
        Ok((endpoint, (place, held))) => {
            (serve(context, endpoint, request, &request_id, (started, held)).await, Some(place))
        }
        Err(error) => {
            let (head, body) = request.into_parts();
            body::linger(&head, body);
            (refuse(context, label, error), None)
        }
    };
    response.headers_mut().entry(REQUEST_ID).or_insert(request_id);
    (response, place)
}

async fn serve(
    context: &Context,
    endpoint: Endpoint,
    request: Request<Incoming>,
    request_id: &HeaderValue,
    mut begun: Begun,
) -> Response<ReplyBody> {
    let snapshot = context.snapshot.load_full();
    let (head, mut body) = request.into_parts();
    let consumer = match identify::identify(&context.shared, &snapshot, &head.headers) {
        Ok(consumer) => consumer,
        Err(error) => {
            body::linger(&head, body);
            return refuse(context, endpoint.as_str(), error);
        }
    };
    if endpoint == Endpoint::Models {
        context.shared.metrics.answered(None, endpoint.as_str(), 200, "");
        return models::list(&snapshot, &consumer);
    }
    let matched = async {
        let limit = snapshot.settings.max_request_body_bytes;
        let room = Room { held: &mut begun.1, shed: &context.shared.shed };
        let body = body::read(&head.headers, &mut body, limit, room).await?;
        let call = check::check(endpoint, &body)?;
        let route = match_route(&snapshot, &consumer, &call)?;
        Ok((call, route))
    };
    let (call, route) = match matched.await {
        Ok(matched) => matched,
        Err(error) => {
            body::linger(&head, body);
            return refuse(context, endpoint.as_str(), error);
        }
    };
    let allowed = match deadline::allowed(&head.headers, route.request_timeout()) {
        Ok(allowed) => allowed,
        Err(error) => return refuse(context, endpoint.as_str(), error),
    };
    let mut headers = headers::for_backend(head.headers);
    headers.insert(REQUEST_ID, request_id.clone());
    let deadline = tokio::time::Instant::from_std(begun.0) + allowed;
    answer((context, &snapshot), route, consumer, call, headers, deadline, begun).await
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
    (context, snapshot): (&Context, &Snapshot),
    route: Arc<Route>,
    consumer: Arc<Consumer>,
    call: Call,
    headers: HeaderMap,
    deadline: tokio::time::Instant,
    (started, held): Begun,
) -> Response<ReplyBody> {
    route.state.requests.fetch_add(1, Ordering::Relaxed);
    let admitted = admit::admit(&context.shared, &route, &consumer, &call);
    let mut settlement = Settlement {
        shared: Arc::clone(&context.shared),
        route: Arc::clone(&route),
        consumer,
        endpoint: call.endpoint,
        started,
        reservations: Vec::new(),
        estimated_input: call.estimated_input,
        status: 499,
        attempts: 0,
        trail: Trail::default(),
        backend: None,
        usage: None,
        estimated_output: 0,
        request_id: headers.get(REQUEST_ID).cloned().unwrap_or_else(new_request_id),
        ending: Ending::Cancelled,
        source: Source::default(),
        held,
    };
    let tightest = match admitted {
        Ok(admission) => {
            settlement.reservations = admission.reservations;
            admission.tightest
        }
        Err(error) => return settlement.refused(error),
    };
    let part = cache::Part::of(&route, &settlement.consumer, &call, &headers);
    let key = part.map(|part| part.key);
    let spare = fallback::spare(snapshot, &route, &settlement.consumer);
    let errand = Errand { call, headers, deadline, settlement, broken: None, key, spare };
    let keep_alive = &route.policy.keep_alive;
    let form = match errand.call.stream {
        true => Form::Events(errand.call.endpoint),
        false if keep_alive.blank_padding => Form::Padded,
        false => Form::Plain,
    };
    let manner = Manner { form, interval: Duration::from_millis(keep_alive.interval_ms), deadline };
    let (found, opening) = match part {
        Some(part) => cache::answer(errand, part),
        None => (None, run(errand).boxed()),
    };
    let mut response = respond(opening, manner).await;
    if let Some(found) = found {
        response.headers_mut().insert(cache::HEADER, found.value());
        context.shared.metrics.looked_up(&route.state.metrics, found);
    }
    tightest.tell(response.headers_mut());
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

/// A copy: a header that a client sent keeps all that was read with it in memory.
fn own(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

fn new_request_id() -> HeaderValue {
    let id = format!("req_{:032x}", rand::random::<u128>());
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("req_unknown"))
}
