//! What only event streams have: events put together from pieces, watched, remembered where the route resumes.

use super::dispatch::Errand;
use super::frames::Framer;
use super::in_flight::InFlight;
use super::resume::outcome::Outcome;
use super::resume::stitch::{Stitch, Stitched};
use super::resume::thread::Thread;
use super::watch::{Look, Watch};
use crate::upstream::judge::Cause;
use bytes::Bytes;
use deepseek_crds::v1alpha1::MidStream;
use std::time::Duration;
use tokio::time::Instant;

/// An event stream on its way.
pub struct Stream {
    /// Puts events together.
    pub framer: Framer,
    /// Tells what passes.
    pub watch: Watch,
    /// How long nothing of the answer may come.
    pub idle: Duration,
    /// When something of it came last.
    pub last_data: Instant,
    /// When the end mark has passed.
    pub ended_at: Option<Instant>,
    /// What has broken it.
    pub broken: Option<Cause>,
    /// What it takes to continue it, or why it cannot be.
    pub thread: Result<Box<Thread>, Outcome>,
    _in_flight: InFlight,
}

impl Stream {
    /// The stream that answers `errand`, from `now` on.
    pub fn of(errand: &Errand, now: Instant) -> Self {
        let (endpoint, settlement) = (errand.call.endpoint, &errand.settlement);
        let resumes = settlement.route.policy.failover.mid_stream == MidStream::Resume;
        let thread = Thread::of(endpoint).filter(|_| resumes).ok_or(Outcome::Unsupported);
        Self {
            framer: Framer::default(),
            watch: Watch::new(endpoint, resumes, errand.call.choices),
            idle: settlement.route.idle_timeout(),
            last_data: now,
            ended_at: None,
            broken: None,
            thread: if settlement.held.is_spare() { thread } else { thread.and(Err(Outcome::NoRoom)) },
            _in_flight: InFlight::enter(&settlement.shared.metrics.streams),
        }
    }

    /// Another backend goes on with it.
    pub fn goes_on(&mut self, stitch: Option<Stitch>, now: Instant) {
        (self.framer, self.broken, self.last_data) = (Framer::default(), None, now);
        if let Ok(thread) = &mut self.thread {
            thread.goes_on(stitch);
        }
    }

    /// Bytes that are held: of an event whose end has not come, and in all.
    pub fn held(&self) -> (usize, usize) {
        let waiting = self.framer.held();
        (waiting, waiting + self.thread.as_ref().map_or(0, |thread| thread.transcript.bytes()))
    }

    /// What of whole events is for the client, and whether they end the answer before the backend does.
    pub fn join(&mut self, events: Bytes, now: Instant, backend: Option<usize>) -> (Bytes, bool) {
        let Ok(thread) = &mut self.thread else { return (events, false) };
        // What is held back or left out is a sign of life of the backend all the same.
        if self.watch.has_payload(&events) {
            self.last_data = now;
        }
        match thread.join(events) {
            Stitched::Pass(events) => (events, false),
            Stitched::Over(events) => (events, true),
            Stitched::Astray(events) => {
                thread.astray.extend(backend);
                self.broken = Some(Cause::EndedEarly);
                (events, false)
            }
        }
    }

    /// Looks at whole events; from the one on that breaks the stream they are left out.
    pub fn look(&mut self, mut events: Bytes) -> (Bytes, Look) {
        let look = self.watch.look(&events);
        let breaks = look.broken.map(|(at, cause)| (events.split_off(at), cause));
        if let Ok(thread) = &mut self.thread {
            thread.sent(&events);
        }
        if let Some((event, cause)) = breaks {
            self.broken = Some(cause);
            if let Ok(thread) = &mut self.thread {
                thread.broken_by(&event);
            }
        }
        (events, look)
    }
}
