//! The thread of a stream: what is kept of it from backend to backend.

use super::events::events;
use super::stitch::{Stitch, Stitched};
use super::transcript::Transcript;
use crate::pipeline::endpoint::Endpoint;
use crate::upstream::balance::Set;
use bytes::Bytes;

/// What is kept of a stream so that it can be continued.
pub struct Thread {
    /// What the client was sent.
    pub transcript: Transcript,
    /// Backends that did not go on from where they were told to.
    pub astray: Set,
    /// Joins what the present backend sends to what was sent before; `None` for the first.
    stitch: Option<Stitch>,
}

impl Thread {
    /// For a stream of `endpoint`; `None` where such answers cannot be continued.
    #[must_use]
    pub fn of(endpoint: Endpoint) -> Option<Box<Self>> {
        matches!(endpoint, Endpoint::Chat | Endpoint::BetaChat).then(|| {
            Box::new(Self { transcript: Transcript::default(), astray: Set::default(), stitch: None })
        })
    }

    /// Makes whole events go on as the answer that the client has begun to read.
    pub fn join(&mut self, run: Bytes) -> Stitched {
        match &mut self.stitch {
            None => Stitched::Pass(run),
            Some(stitch) => stitch.push(&run),
        }
    }

    /// Remembers whole events, which go to the client.
    pub fn sent(&mut self, run: &Bytes) {
        events(run).for_each(|event| self.transcript.add(&event));
    }

    /// Keeps what the first of these events, which breaks the answer off, tells of the tokens used.
    pub fn broken_by(&mut self, run: &Bytes) {
        if let Some(event) = events(run).next() {
            self.transcript.interrupted_by(&event);
        }
    }

    /// Another backend goes on.
    pub fn goes_on(&mut self, stitch: Option<Stitch>) {
        self.stitch = stitch;
    }
}
