//! The relay: what a client gets of a call, from the first sign of life to the last byte.
//!
//! A stream whose first token takes long gets its head and keep-alive comments while backends are still asked. One that
//! breaks off, stalls or ends without a finish is [mended](super::mend) where the route wants that and it can be; else it
//! gets one explicit error event: a cut answer is never passed off as a whole one. Where no such event is possible (a
//! JSON body), the connection is cut. Dropping the relay drops the call and its connections at once: that is how a
//! client's cancellation arrives at the backend.

use super::cache::{Follower, Lost};
use super::endpoint::Endpoint;
use super::error::{Code, GatewayError};
use super::fallback;
use super::flow::{Flow, Step};
use super::mend::{Mend, Mending, mend};
use super::opening::{Opening, settle};
use super::reply::BrokenOff;
use super::resume::outcome::Outcome;
use super::settle::Ending;
use crate::upstream::attempt::joined;
use crate::upstream::judge::Cause;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::SizeHint;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A call that is still looking for a backend.
pub type Dispatching = Pin<Box<dyn Future<Output = Opening> + Send>>;

/// What a client is told of a call.
pub struct Relay {
    state: State,
    form: Form,
    interval: Duration,
    deadline: Instant,
    last_sent: Instant,
    /// Whether the client has been given a piece and has not asked for the next one.
    given: bool,
    timer: Pin<Box<Sleep>>,
    complete: bool,
}

enum State {
    Dispatching(Dispatching),
    Flowing(Box<Flow>),
    /// It is another call's too.
    Following(Box<Follower>),
    /// It broke, and backends are asked to go on with it.
    Mending(Mending),
    Ended,
}

/// What the body is, which decides how signs of life and errors look in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An event stream: comments, and an error event.
    Events(Endpoint),
    /// JSON, preceded by blank lines while there is none yet.
    Padded,
    /// Whatever the backend sends.
    Plain,
}

/// How a client is told of a call.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// What the body is.
    pub form: Form,
    /// How long it is left without a byte.
    pub interval: Duration,
    /// When the call must be over.
    pub deadline: Instant,
}

impl Relay {
    /// Passes on an answer that has begun.
    #[must_use]
    pub fn flowing(flow: Flow, manner: Manner) -> Self {
        Self::new(State::Flowing(Box::new(flow)), manner)
    }

    /// Gives signs of life until an answer has begun.
    #[must_use]
    pub fn dispatching(dispatching: Dispatching, manner: Manner) -> Self {
        Self::new(State::Dispatching(dispatching), manner)
    }

    /// Passes on the answer of a call that others share.
    #[must_use]
    pub fn following(follower: Box<Follower>, manner: Manner) -> Self {
        Self::new(State::Following(follower), manner)
    }

    /// Whether all of a backend's answer has passed, and nothing was missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether it has ended with something missing, or with an error.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.state, State::Ended) && !self.complete
    }

    fn new(state: State, Manner { form, interval, deadline }: Manner) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + interval));
        let (given, complete) = (false, false);
        let mut relay = Self { state, form, interval, deadline, last_sent: now, given, timer, complete };
        relay.set_timer();
        relay
    }

    /// When the call must be over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long the rest is, where that is known.
    pub fn size_hint(&self) -> SizeHint {
        match (&self.state, self.form) {
            (State::Flowing(flow), Form::Plain) => flow.size_hint(),
            _ => SizeHint::default(),
        }
    }

    /// The next piece for the client.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if std::mem::take(&mut self.given)
            && let State::Flowing(flow) = &mut self.state
        {
            flow.was_left_for(self.last_sent.elapsed());
        }
        loop {
            let step = match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Dispatching(dispatching) => match dispatching.as_mut().poll(cx) {
                    Poll::Ready(opening) => match self.dispatched(opening) {
                        Some(told) => return Poll::Ready(Some(Ok(told))),
                        None => continue,
                    },
                    Poll::Pending => None,
                },
                State::Mending(mending) => match mending.as_mut().poll(cx) {
                    Poll::Ready((flow, cause, outcome)) => match self.mended(flow, cause, outcome) {
                        Some(last) => return Poll::Ready(Some(last)),
                        None => continue,
                    },
                    Poll::Pending => None,
                },
                State::Flowing(flow) => match flow.poll(cx) {
                    Poll::Ready(step) => Some(step),
                    Poll::Pending => None,
                },
                State::Following(follower) => match follower.poll(cx) {
                    Poll::Ready(Some(Ok(piece))) => Some(Step::Piece(piece)),
                    Poll::Ready(Some(Err(lost))) => return Poll::Ready(Some(self.lost(lost))),
                    Poll::Ready(None) => Some(Step::End(None)),
                    Poll::Pending => None,
                },
            };
            let step = match step {
                Some(step) => step,
                None => match ready!(self.poll_timer(cx)) {
                    Some(step) => step,
                    None => continue,
                },
            };
            match step {
                Step::Piece(piece) => {
                    self.last_sent = Instant::now();
                    self.given = true;
                    return Poll::Ready(Some(Ok(piece)));
                }
                Step::End(last) => {
                    self.state = State::Ended;
                    self.complete = true;
                    return Poll::Ready(last.map(Ok));
                }
                Step::Broken(cause) => {
                    if let Some(last) = self.broken(cause) {
                        return Poll::Ready(Some(last));
                    }
                }
            }
        }
    }

    /// Ready with what is due, or with nothing where the timer was early: it is moved on when it fires, not with every
    /// piece. Only what is due earlier, as the end of a stream is after its end mark, moves it before that.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        if self.next_due().is_none() {
            // The timer is of what was due before, and would be ready for ever.
            return Poll::Pending;
        }
        if let State::Flowing(flow) = &self.state
            && flow.due() < self.timer.deadline()
        {
            self.set_timer();
        }
        ready!(self.timer.as_mut().poll(cx));
        let now = Instant::now();
        let mut step = match &mut self.state {
            State::Flowing(flow) => flow.overdue(now),
            State::Dispatching(_) | State::Following(_) | State::Mending(_) | State::Ended => None,
        };
        if step.is_none() && self.ping_due().is_some_and(|due| now >= due) {
            let sign = if self.form == Form::Padded { "\n" } else { ": keep-alive\n\n" };
            step = Some(Step::Piece(Bytes::from_static(sign.as_bytes())));
            self.last_sent = now;
        }
        self.set_timer();
        Poll::Ready(step)
    }

    fn ping_due(&self) -> Option<Instant> {
        let pings = match (self.form, &self.state) {
            (Form::Events(_), _) | (Form::Padded, State::Dispatching(_)) => true,
            (Form::Padded | Form::Plain, _) => false,
        };
        pings.then(|| self.last_sent + self.interval)
    }

    /// When time alone makes a difference; never for one that waits for others and gives no signs of life.
    fn next_due(&self) -> Option<Instant> {
        let due = match &self.state {
            State::Flowing(flow) => Some(flow.due()),
            State::Dispatching(_) | State::Following(_) | State::Mending(_) | State::Ended => None,
        };
        due.into_iter().chain(self.ping_due()).min()
    }

    fn set_timer(&mut self) {
        if let Some(next) = self.next_due() {
            self.timer.as_mut().reset(next);
        }
    }

    /// The head was sent while backends were still asked; now it is known what the call comes to. Returns what the client
    /// is told at once, which is the last of it where nothing flows.
    fn dispatched(&mut self, opening: Opening) -> Option<Bytes> {
        let padded = self.form == Form::Padded;
        let error = match opening {
            Opening::Served(served, errand) if padded || served.answer.stream => {
                let mark = errand.settlement.source.fallback().map(|kind| fallback::comment(kind.as_str()));
                self.state = State::Flowing(Box::new(Flow::new(*served, *errand)));
                self.set_timer();
                return mark.filter(|_| !padded);
            }
            Opening::Shared(follower) if padded || follower.is_stream() => {
                let mark = self.mark(&follower.head().headers);
                self.state = State::Following(follower);
                self.set_timer();
                return mark;
            }
            Opening::Served(served, mut errand) => {
                errand.settlement.ending = Ending::Complete;
                error_in(&joined(&served.answer.first), served.answer.head.status)
            }
            Opening::Shared(follower) => not_a_stream(follower.head().status).envelope(),
            Opening::Whole(response, settlement) => {
                settle(&response, settlement);
                let content_type = response.headers().get(header::CONTENT_TYPE);
                if padded
                    || content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
                {
                    self.state = State::Ended;
                    let mark = self.mark(response.headers()).unwrap_or_default();
                    return Some([mark, response.into_body()].concat().into());
                }
                error_in(response.body(), response.status())
            }
            Opening::Refused(error, settlement) => {
                if let Some(mut settlement) = settlement {
                    settlement.ending = Ending::Refused(error.code.as_str());
                }
                error.envelope()
            }
        };
        self.state = State::Ended;
        Some(self.told(&error))
    }

    /// The comment that marks a degraded answer in a stream whose head was sent before.
    fn mark(&self, headers: &HeaderMap) -> Option<Bytes> {
        let kind = headers.get(fallback::HEADER)?.to_str().ok()?;
        matches!(self.form, Form::Events(_)).then(|| fallback::comment(kind))
    }

    /// What the client of a shared call is told that gets no more of it.
    fn lost(&mut self, lost: Lost) -> Result<Bytes, BrokenOff> {
        self.state = State::Ended;
        if lost == Lost::Cut || !matches!(self.form, Form::Events(_)) {
            return Err(BrokenOff);
        }
        let message =
            "The answer is incomplete. It was shared with identical calls, which waited for this client.";
        Ok(self.told(&GatewayError::new(Code::StreamInterrupted, message).envelope()))
    }

    /// The flow broke. Returns what the client is told where it is not continued.
    fn broken(&mut self, cause: Cause) -> Option<Result<Bytes, BrokenOff>> {
        let State::Flowing(flow) = std::mem::replace(&mut self.state, State::Ended) else {
            return Some(Err(BrokenOff));
        };
        match mend(flow, cause) {
            Mend::Trying(mending) => {
                self.state = State::Mending(mending);
                self.set_timer();
                None
            }
            Mend::Ends(end) => {
                self.complete = true;
                Some(Ok(end))
            }
            Mend::Not(flow, outcome) => Some(self.broken_off(*flow, cause, outcome)),
        }
    }

    /// Backends were asked to go on. Returns what the client is told where none does.
    fn mended(
        &mut self,
        flow: Box<Flow>,
        cause: Cause,
        outcome: Outcome,
    ) -> Option<Result<Bytes, BrokenOff>> {
        if outcome != Outcome::Resumed {
            self.state = State::Ended;
            return Some(self.broken_off(*flow, cause, Some(outcome)));
        }
        self.state = State::Flowing(flow);
        self.set_timer();
        None
    }

    /// Ends it now, as the process leaves. Returns what the client is told, where there is a place for that.
    pub fn cut_short(mut self) -> Option<Bytes> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let nothing_said = matches!(state, State::Dispatching(_));
        if let State::Flowing(mut flow) = state {
            if flow.has_said_all() {
                flow.ends();
                return Some(Bytes::new());
            }
            flow.errand.settlement.ending = Ending::Broken;
        }
        let has_place = matches!(self.form, Form::Events(_)) || (nothing_said && self.form == Form::Padded);
        let message = "The answer is incomplete. This gateway was stopped before the backend had ended it.";
        has_place.then(|| self.told(&GatewayError::new(Code::StreamInterrupted, message).envelope()))
    }

    /// What the client is told of an answer that nobody goes on with.
    fn broken_off(&self, mut flow: Flow, cause: Cause, outcome: Option<Outcome>) -> Result<Bytes, BrokenOff> {
        flow.errand.settlement.ending = Ending::Broken;
        if !matches!(self.form, Form::Events(_)) {
            return Err(BrokenOff);
        }
        let not_resumed = outcome.map(|outcome| format!(" It was not continued: {}.", outcome.as_str()));
        let message = format!(
            "The answer is incomplete. Backend {}: {}.{}",
            flow.backend.name,
            cause.what(),
            not_resumed.unwrap_or_default()
        );
        Ok(self.told(&GatewayError::new(Code::StreamInterrupted, message).envelope()))
    }

    /// An error envelope in the form of the body.
    fn told(&self, envelope: &str) -> Bytes {
        match self.form {
            Form::Events(Endpoint::Messages | Endpoint::Responses) => {
                format!("event: error\ndata: {envelope}\n\n").into()
            }
            Form::Events(_) => format!("data: {envelope}\n\n").into(),
            Form::Padded | Form::Plain => envelope.to_owned().into(),
        }
    }
}

/// The error in a body that is no stream.
fn error_in(body: &[u8], status: http::StatusCode) -> String {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(error) if error.get("error").is_some() => error.to_string(),
        _ => not_a_stream(status).envelope(),
    }
}

fn not_a_stream(status: http::StatusCode) -> GatewayError {
    let message = format!("The backend answered {} without a stream.", status.as_u16());
    GatewayError::new(Code::UpstreamError, message)
}
