//! What a call comes to before its first byte, whichever way: a backend's answer, a kept one, a shared one, or an error.

use super::cache::Follower;
use super::dispatch::{Errand, Served, dispatch};
use super::error::{Code, GatewayError};
use super::fallback;
use super::flow::Flow;
use super::relay::{Dispatching, Form, Manner, Relay};
use super::reply::{ReplyBody, full, full_until};
use super::settle::{Ending, Settlement};
use crate::upstream::headers;
use bytes::Bytes;
use http::Response;

/// What a call comes to.
pub enum Opening {
    /// A backend's answer has begun.
    Served(Box<Served>, Box<Errand>),
    /// An answer that is known in full. Its settlement is elsewhere where it is another call's too.
    Whole(Response<Bytes>, Option<Settlement>),
    /// The answer of a call that others share has begun.
    Shared(Box<Follower>),
    /// There is none.
    Refused(GatewayError, Option<Settlement>),
}

/// Asks backends, and where all are out whatever the route falls back on.
pub async fn run(mut errand: Errand) -> Opening {
    match dispatch(&mut errand).await {
        Ok(served) => Opening::Served(Box::new(served), Box::new(errand)),
        Err(error) => fallback::instead(errand, error).await,
    }
}

/// The head of the answer as soon as it has begun; earlier where the client must not be left without a sign of life.
pub async fn respond(mut dispatching: Dispatching, manner: Manner) -> Response<ReplyBody> {
    if manner.form == Form::Plain {
        return begin(dispatching.await, manner);
    }
    if let Ok(opening) = tokio::time::timeout(manner.interval, &mut dispatching).await {
        return begin(opening, manner);
    }
    let relay = Relay::dispatching(dispatching, manner);
    let mut response = Response::new(ReplyBody::Relay(Box::new(relay)));
    headers::of_our_own(response.headers_mut(), manner.form);
    response
}

/// The head of an answer that has begun.
pub fn begin(opening: Opening, manner: Manner) -> Response<ReplyBody> {
    match opening {
        Opening::Served(served, errand) => flowing(*served, *errand, manner),
        Opening::Whole(response, settlement) => {
            settle(&response, settlement);
            response.map(|body| full_until(body, manner.deadline))
        }
        Opening::Shared(follower) => {
            let head = follower.head();
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = head.status;
            response.headers_mut().clone_from(&head.headers);
            let manner = of_answer(manner, follower.is_stream());
            *response.body_mut() = ReplyBody::Relay(Box::new(Relay::following(follower, manner)));
            response
        }
        Opening::Refused(error, settlement) => {
            let code = error.code;
            let mut response = match settlement {
                Some(settlement) => settlement.refused(error),
                None => error.respond(),
            };
            response.extensions_mut().insert(code);
            response
        }
    }
}

/// Signs of life have no place in an answer that has begun and is no stream.
fn of_answer(manner: Manner, stream: bool) -> Manner {
    if stream { manner } else { Manner { form: Form::Plain, ..manner } }
}

fn flowing(mut served: Served, mut errand: Errand, manner: Manner) -> Response<ReplyBody> {
    let answer = &mut served.answer;
    let mut response = Response::new(full(Bytes::new()));
    errand.settlement.status = answer.head.status.as_u16();
    *response.status_mut() = answer.head.status;
    std::mem::swap(response.headers_mut(), &mut answer.head.headers);
    headers::for_client(response.headers_mut(), answer.stream);
    if let Some(kind) = errand.settlement.source.fallback() {
        response.headers_mut().insert(fallback::HEADER, kind.value());
    }
    let manner = of_answer(manner, answer.stream);
    let relay = Relay::flowing(Flow::new(served, errand), manner);
    *response.body_mut() = ReplyBody::Relay(Box::new(relay));
    response
}

/// Ends a call whose answer is known in full.
pub fn settle(response: &Response<Bytes>, settlement: Option<Settlement>) {
    if let Some(mut settlement) = settlement {
        settlement.status = response.status().as_u16();
        settlement.ending = match response.extensions().get::<Code>() {
            Some(code) => Ending::Refused(code.as_str()),
            None => Ending::Complete,
        };
    }
}
