//! An answer that flows: from the backend to the client, event by event, watched from the side.
//!
//! Nothing is held back but the beginning of an event whose end has not arrived: what broke off in the middle of an
//! event was never sent. A flow says how it ended; what the client is told of that is the [relay](super::relay)'s.

use super::dispatch::{Errand, Held, Served};
use super::endpoint::StreamEnd;
use super::json::Outline;
use super::resume::outcome::Outcome;
use super::resume::thread::Thread;
use super::settle::{Ending, Settlement};
use super::shed::{Buffered, Reason};
use super::stream::Stream;
use super::tap::Tap;
use crate::flavor::answer::Retelling;
use crate::snapshot::RouteBackend;
use crate::upstream::judge::Cause;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, SizeHint};
use hyper::body::Incoming;
use serde::de::IgnoredAny;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long the backend may take to end its body after the end mark: one that does leaves its connection for reuse.
const LINGER: Duration = Duration::from_millis(500);
/// What ends a stream of chat or completions.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// What a stream holds in memory is counted in steps of this size: below it are the half events and short answers that
/// every stream has.
const STEP: usize = 64 << 10;

/// An answer that flows.
pub struct Flow {
    ready: VecDeque<Bytes>,
    buffered: Buffered,
    rest: Option<Incoming>,
    stream: Option<Stream>,
    /// Of an answer in one piece that was not read before it was passed on.
    outline: Option<Outline>,
    tap: Tap,
    /// What of the backend's words has to be said in others.
    retelling: Option<Retelling>,
    ended: bool,
    last_byte: Instant,
    byte_idle: Duration,
    /// The call.
    pub errand: Errand,
    /// Who answers it.
    pub backend: Arc<RouteBackend>,
    held: Option<Held>,
}

/// What comes next of a flow.
pub enum Step {
    /// A piece for the client.
    Piece(Bytes),
    /// The end, with what is left to send.
    End(Option<Bytes>),
    /// It broke.
    Broken(Cause),
}

impl Flow {
    /// Takes over an answer that has begun.
    pub fn new(served: Served, mut errand: Errand) -> Self {
        let Served { answer, backend, held, stitch: _ } = served;
        let now = Instant::now();
        let Settlement { route, started, .. } = &errand.settlement;
        if answer.stream {
            route.state.metrics.first_token.observe(started.elapsed().as_secs_f64());
        }
        let stream = answer.stream.then(|| Stream::of(&errand, now));
        let byte_idle = Duration::from_millis(route.policy.timeouts.byte_idle_ms);
        let retelling = Retelling::of(backend.flavor, errand.call.endpoint, &errand.call.body);
        if stream.as_ref().is_none_or(|stream| stream.thread.is_err()) {
            // Nobody will be asked again: what the client sent is not kept for as long as its answer flows.
            (errand.call.body, errand.headers) = (Bytes::new(), HeaderMap::new());
            errand.settlement.held.give_back();
        }
        let outline = (!answer.stream && answer.rest.is_some()).then(Outline::default);
        Self {
            ready: answer.first,
            buffered: answer.buffered,
            rest: answer.rest,
            stream,
            outline,
            tap: Tap::default(),
            retelling,
            ended: false,
            last_byte: now,
            byte_idle,
            errand,
            backend,
            held: Some(held),
        }
    }

    /// Whether it is an event stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// What it takes to continue it, or why it cannot be.
    pub fn thread(&self) -> Result<&Thread, Outcome> {
        match self.stream.as_ref().map(|stream| &stream.thread) {
            Some(Ok(thread)) => Ok(thread),
            Some(Err(why)) => Err(*why),
            None => Err(Outcome::Unsupported),
        }
    }

    /// Whether the present backend was to go on with the answer and did not.
    #[must_use]
    pub fn went_astray(&self) -> bool {
        self.place().is_some_and(|at| self.thread().is_ok_and(|thread| thread.astray.contains(at)))
    }

    /// Leaves the backend, whose part of the answer broke.
    pub fn leave(&mut self) {
        self.ready.clear();
        self.buffered.give_back();
        (self.rest, self.held) = (None, None);
        let at = self.place();
        self.errand.settlement.trail.tried.extend(at);
        self.errand.settlement.trail.broke.extend(at);
    }

    /// Another backend goes on with it.
    pub fn go_on(&mut self, served: Served) {
        let Served { answer, backend, held, stitch } = served;
        let now = Instant::now();
        (self.ready, self.rest, self.held) = (answer.first, answer.rest, Some(held));
        (self.backend, self.last_byte, self.buffered) = (backend, now, answer.buffered);
        let call = &self.errand.call;
        self.retelling = Retelling::of(self.backend.flavor, call.endpoint, &call.body);
        if let Some(stream) = &mut self.stream {
            stream.goes_on(stitch, now);
        }
    }

    /// Where the present backend stands in the route.
    fn place(&self) -> Option<usize> {
        let backends = &self.errand.settlement.route.backends;
        backends.iter().position(|backend| Arc::ptr_eq(backend, &self.backend))
    }

    /// How long the rest is, where that is known.
    pub fn size_hint(&self) -> SizeHint {
        let ready: u64 = self.ready.iter().map(|piece| piece.len() as u64).sum();
        let rest = self.rest.as_ref().map_or(Some(0), |rest| rest.size_hint().exact());
        match rest {
            Some(rest) if self.stream.is_none() => SizeHint::with_exact(ready + rest),
            _ => SizeHint::default(),
        }
    }

    /// The next step.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(cause) = self.stream.as_ref().and_then(|stream| stream.broken) {
                return Poll::Ready(Step::Broken(cause));
            }
            if let Some(piece) = self.ready.pop_front() {
                let Some(piece) = self.pass(piece) else { continue };
                // The last bytes of a known length end the client's answer: there would be no telling it afterwards.
                if self.is_half() {
                    return Poll::Ready(Step::Broken(Cause::EndedEarly));
                }
                return Poll::Ready(Step::Piece(piece));
            }
            let Some(rest) = &mut self.rest else { return Poll::Ready(self.finish(Cause::EndedEarly)) };
            match std::task::ready!(Pin::new(rest).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.last_byte = Instant::now();
                    self.ready.extend(frame.into_data().ok());
                }
                Some(Err(_)) => return Poll::Ready(self.finish(Cause::Cut)),
                None => {
                    self.rest = None;
                    return Poll::Ready(self.finish(Cause::EndedEarly));
                }
            }
        }
    }

    /// The client did not ask for more for so long: that time is not the backend's.
    pub fn was_left_for(&mut self, time: Duration) {
        self.last_byte += time;
        if let Some(stream) = &mut self.stream {
            stream.last_data += time;
        }
    }

    /// Whether its end mark has passed: the client has all of it.
    #[must_use]
    pub fn has_said_all(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.ended_at.is_some())
    }

    /// Whether an answer in one piece has come to an end that is none.
    fn is_half(&self) -> bool {
        let ended = self.ready.is_empty() && self.rest.as_ref().is_some_and(Incoming::is_end_stream);
        ended && self.outline.as_ref().is_some_and(Outline::is_half)
    }

    /// When to look at [`Self::overdue`] at the latest.
    pub fn due(&self) -> Instant {
        let deadline = self.errand.deadline.min(self.last_byte + self.byte_idle);
        match &self.stream {
            None => deadline,
            Some(Stream { ended_at: Some(at), .. }) => *at + LINGER,
            Some(stream) => deadline.min(stream.last_data + stream.idle),
        }
    }

    /// What follows when nothing came until `now`.
    pub fn overdue(&mut self, now: Instant) -> Option<Step> {
        if now < self.due() {
            return None;
        }
        let stalled = self.stream.as_ref().is_some_and(|s| now >= s.last_data + s.idle);
        let cause = match now {
            now if now >= self.errand.deadline => Cause::TimeUpMidStream,
            _ if stalled => Cause::Stalled,
            _ => Cause::SilentStream,
        };
        Some(self.finish(cause))
    }

    /// Lets a piece through, looking at it on its way.
    fn pass(&mut self, piece: Bytes) -> Option<Bytes> {
        let at = self.place();
        let settlement = &mut self.errand.settlement;
        let Some(stream) = &mut self.stream else {
            self.tap.feed(&piece);
            if let Some(outline) = &mut self.outline {
                outline.feed(&piece);
            }
            settlement.estimated_output += piece.len() as u64 / 4;
            if self.ready.is_empty() {
                self.buffered.give_back();
            }
            return Some(piece).filter(|piece| !piece.is_empty());
        };
        let events = stream.framer.push(piece);
        let (waiting, kept) = stream.held();
        let no_room = self.ready.is_empty() && self.buffered.hold(kept / STEP * STEP).is_err();
        if no_room && waiting >= STEP {
            settlement.shared.shed.count(Reason::BufferedBytes);
            stream.broken = Some(Cause::NoRoomMidStream);
        }
        let events = events?;
        let (events, over) = stream.join(events, self.last_byte, at);
        if over {
            self.rest = None;
            self.ready.clear();
        }
        let whole = events.clone();
        let (events, look) = stream.look(events);
        if look.payload {
            stream.last_data = self.last_byte;
        }
        if look.data > 0 {
            // DeepSeek sends a token an event.
            settlement.estimated_output += u64::from(look.data);
            // What a backend counted as it gave up is counted, though the client is not shown it.
            self.tap.feed(&whole);
        }
        if look.end {
            stream.ended_at.get_or_insert(self.last_byte);
        }
        if look.garbage > 0 {
            settlement.route.state.metrics.malformed.inc_by(u64::from(look.garbage));
        }
        if look.gave_up {
            self.backend.breaker.broke("StreamInterrupted");
        }
        let events = match self.retelling {
            Some(retelling) => retelling.events(events),
            None => events,
        };
        Some(events).filter(|events| !events.is_empty())
    }

    /// Nothing more comes, because of `cause`: the end where nothing is missing, a break where something is.
    fn finish(&mut self, cause: Cause) -> Step {
        let Some(stream) = &mut self.stream else {
            let whole = cause == Cause::EndedEarly && !self.outline.as_ref().is_some_and(Outline::is_half);
            return if whole { self.complete(None) } else { Step::Broken(cause) };
        };
        let rest = stream.framer.rest();
        // The last event may lack its blank line; half an event is of no use to anybody.
        let last = is_whole(&rest).then(|| self.pass([&rest, b"\n\n".as_slice()].concat().into())).flatten();
        let Some(stream) = &mut self.stream else { return Step::Broken(cause) };
        let ended = stream.ended_at.is_some();
        if stream.broken.is_some() || !(stream.watch.finished() || ended) {
            let cause = *stream.broken.get_or_insert(cause);
            return last.map_or(Step::Broken(cause), Step::Piece);
        }
        let mut last = BytesMut::from(last.unwrap_or_default());
        if !ended && self.errand.call.endpoint.stream_end() == StreamEnd::Done {
            last.extend_from_slice(DONE);
        }
        self.complete(Some(last.freeze()).filter(|last| !last.is_empty()))
    }

    fn complete(&mut self, last: Option<Bytes>) -> Step {
        self.ends();
        Step::End(last)
    }

    /// The client has, or is about to have, all of it.
    pub fn ends(&mut self) {
        self.ended = true;
        let failed = self.stream.as_ref().is_some_and(|stream| stream.watch.failed());
        self.errand.settlement.ending = if failed { Ending::Broken } else { Ending::Complete };
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.errand.settlement.usage = self.tap.usage();
        // hyper does not ask for another frame after the last byte of a body of known length.
        let all_sent = self.ready.is_empty() && self.rest.as_ref().is_none_or(Incoming::is_end_stream);
        let open = !self.ended && self.errand.settlement.ending == Ending::Cancelled;
        if open && self.stream.is_none() && all_sent {
            self.errand.settlement.ending = Ending::Complete;
        }
    }
}

/// Whether what came after the last blank line is an event to its end: its last line is data that can be read.
fn is_whole(event: &[u8]) -> bool {
    let last = event.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    let data = last.and_then(|line| line.strip_prefix(b"data:")).map(<[u8]>::trim_ascii);
    data.is_some_and(|data| data == b"[DONE]" || serde_json::from_slice::<IgnoredAny>(data).is_ok())
}
