//! The relay: an answer on its way from the backend to the client, frame by frame, watched from the side.
//!
//! Nothing is held back but the beginning of an event whose end has not arrived. A stream that breaks off, stalls or
//! ends without its end mark gets one explicit error event: a cut answer is never passed off as a whole one. Where
//! no such event is possible (a JSON body), the connection is cut. Dropping the relay closes the connection to the
//! backend at once: that is how a client's cancellation arrives there.

use super::endpoint::{Endpoint, StreamEnd};
use super::error::{Code, GatewayError};
use super::frames::{Framer, carries_data, data_of};
use super::reply::BrokenOff;
use super::settle::{Ending, Settlement};
use super::tap::Tap;
use crate::upstream::attempt::Answer;
use bytes::Bytes;
use http_body::{Body as _, SizeHint};
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the backend may take to end its body after the end mark: one that does leaves its connection for reuse.
const LINGER: Duration = Duration::from_millis(500);

/// An answer on its way.
pub struct Relay {
    ready: VecDeque<Bytes>,
    upstream: Incoming,
    stream: Option<Stream>,
    tap: Tap,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    ended: bool,
    settlement: Settlement,
}

/// What only streams have.
struct Stream {
    framer: Framer,
    endpoint: Endpoint,
    idle: Duration,
    last_data: Instant,
    /// Whether the end mark has passed.
    reached_end: bool,
    _in_flight: InFlight,
}

/// Counts one on a gauge while it lives.
pub struct InFlight(Gauge);

impl InFlight {
    /// Adds one.
    #[must_use]
    pub fn enter(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Relay {
    /// Takes over `answer`, of which the first bytes have been read already.
    pub fn new(answer: Answer, settlement: Settlement, deadline: Instant) -> Self {
        let now = Instant::now();
        let stream = answer.stream.then(|| Stream {
            framer: Framer::default(),
            endpoint: settlement.endpoint,
            idle: settlement.route.idle_timeout(),
            last_data: now,
            reached_end: false,
            _in_flight: InFlight::enter(&settlement.shared.metrics.streams),
        });
        let first_check = stream.as_ref().map_or(deadline, |s| deadline.min(now + s.idle));
        Self {
            ready: answer.first,
            upstream: answer.body,
            stream,
            tap: Tap::default(),
            deadline,
            timer: Box::pin(sleep_until(first_check)),
            ended: false,
            settlement,
        }
    }

    /// How long the rest is, where that is known.
    pub fn size_hint(&self) -> SizeHint {
        let ready: u64 = self.ready.iter().map(|piece| piece.len() as u64).sum();
        match self.upstream.size_hint().exact() {
            Some(rest) if self.stream.is_none() => SizeHint::with_exact(ready + rest),
            _ => SizeHint::default(),
        }
    }

    /// The next piece for the client.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(piece) = self.ready.pop_front() {
                if let Some(piece) = self.pass(piece) {
                    return Poll::Ready(Some(Ok(piece)));
                }
                continue;
            }
            match Pin::new(&mut self.upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.ready.extend(frame.into_data().ok()),
                Poll::Ready(None) => return Poll::Ready(self.finish()),
                // After the end mark nothing is missing, however the connection ends.
                Poll::Ready(Some(Err(_))) if self.reached_end() => return Poll::Ready(self.finish()),
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Some(self.break_off("the backend closed the connection")));
                }
                Poll::Pending => {
                    let reason = ready!(self.poll_timers(cx));
                    let over = self.reached_end();
                    return Poll::Ready(if over { self.finish() } else { Some(self.break_off(reason)) });
                }
            }
        }
    }

    /// Lets a piece through, looking at it on its way.
    fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        let Some(stream) = &mut self.stream else {
            self.tap.feed(&piece);
            self.settlement.estimated_output += piece.len() as u64 / 4;
            return Some(piece);
        };
        let events = stream.framer.push(piece)?;
        if carries_data(&events) {
            stream.last_data = Instant::now();
            if !stream.reached_end && reaches_end(stream.endpoint, &events) {
                stream.reached_end = true;
                self.timer.as_mut().reset(stream.last_data + LINGER);
            }
            // DeepSeek sends a token an event.
            self.settlement.estimated_output += data_of(&events).count() as u64;
            self.tap.feed(&events);
        }
        Some(events)
    }

    /// Ready with a reason when the answer takes too long. The idle timer is moved on when it fires, not with
    /// every frame.
    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if self.reached_end() {
                return Poll::Ready("the stream is over");
            }
            if now >= self.deadline {
                return Poll::Ready("the call took longer than the route's request timeout");
            }
            let idle_at = self.stream.as_ref().map_or(self.deadline, |s| s.last_data + s.idle);
            if now >= idle_at {
                return Poll::Ready("the backend sent no content for longer than the route's idle timeout");
            }
            self.timer.as_mut().reset(self.deadline.min(idle_at));
        }
    }

    fn reached_end(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.reached_end)
    }

    fn finish(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        let mut rest = Bytes::new();
        if let Some(stream) = &mut self.stream {
            rest = stream.framer.rest();
            if !stream.reached_end && !reaches_end(stream.endpoint, &rest) {
                return Some(self.break_off("the backend ended the stream before its end"));
            }
        }
        self.tap.feed(&rest);
        self.end(Ending::Complete);
        (!rest.is_empty()).then_some(Ok(rest))
    }

    fn break_off(&mut self, reason: &'static str) -> Result<Bytes, BrokenOff> {
        self.end(Ending::Broken);
        let settlement = &self.settlement;
        let backend = settlement.backend.as_deref().unwrap_or_default();
        tracing::warn!(route = %settlement.route.state.metrics.label, backend, reason, "answer broke off");
        let Some(stream) = &self.stream else { return Err(BrokenOff) };
        let error =
            GatewayError::new(Code::StreamInterrupted, format!("The answer is incomplete: {reason}."));
        let event = match stream.endpoint {
            Endpoint::Messages | Endpoint::Responses => "event: error\n",
            _ => "",
        };
        Ok(format!("{event}data: {}\n\n", error.envelope()).into())
    }

    fn end(&mut self, ending: Ending) {
        self.ended = true;
        self.settlement.ending = ending;
        if ending == Ending::Broken
            && let Some(name) = &self.settlement.backend
            && let Some(backend) = self.settlement.route.backends.iter().find(|b| b.name == *name)
        {
            backend.breaker.broke("StreamInterrupted");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.settlement.usage = self.tap.usage();
        // hyper does not ask for another frame after the last byte of a body of known length.
        if !self.ended && self.stream.is_none() && self.ready.is_empty() && self.upstream.is_end_stream() {
            self.settlement.ending = Ending::Complete;
        }
    }
}

/// Whether the end mark is among `events`: as a whole payload or the name of an event, never inside of text.
fn reaches_end(endpoint: Endpoint, events: &[u8]) -> bool {
    match endpoint.stream_end() {
        StreamEnd::Done => data_of(events).any(|data| data == b"[DONE]"),
        StreamEnd::Event(names) => events
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"event:"))
            .any(|name| names.iter().any(|end| name.trim_ascii() == end.as_bytes())),
    }
}
