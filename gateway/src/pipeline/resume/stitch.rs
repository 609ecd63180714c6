//! Makes the continuation of an answer go on as that answer.
//!
//! Whoever writes it, the client sees one id, one role, one set of token counts, and every word once. Values are
//! replaced in place; whatever else a chunk holds passes as it came. It is given whole events. A continuation that
//! breaks as well is continued by another stitch.

use super::chunk::{Choice, Chunk, Delta, Payload, text};
use super::edits::{Edits, place};
use super::events::events;
use super::expected::{Expected, Heard};
use super::transcript::{Identity, Transcript};
use super::usage::Before;
use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// The most that is held back, in bytes of events: thousands of them. A server that still repeats is not going on.
const MOST_HELD: usize = 4 << 20;

/// Joins one continuation to what was sent before.
#[expect(clippy::struct_excessive_bools, reason = "each is seen or not by itself: no states of one machine")]
pub struct Stitch {
    /// Of the first chunk, if the client was sent one.
    identity: Option<Identity>,
    /// Whether the client knows the role.
    role: bool,
    /// Whether the client had content: reasoning was over.
    content: bool,
    before: Before,
    expected: Expected,
    /// Events that wait until it is clear what they are.
    held: BytesMut,
    /// Whether the backend thought anew although reasoning was over: that is not shown.
    thought_anew: bool,
    /// Whether it said anything that is shown.
    spoke: bool,
    believes_silence: bool,
}

/// What becomes of a run of events.
#[derive(Debug, PartialEq, Eq)]
pub enum Stitched {
    /// This goes to the client; it may be nothing.
    Pass(Bytes),
    /// This goes to the client, and the answer is over: nothing more of this backend is wanted.
    Over(Bytes),
    /// This goes to the client, and what came after it is not the rest of the answer.
    Astray(Bytes),
}

/// What becomes of one event.
enum Fate {
    /// It passes, after what was held.
    Pass,
    /// It passes at once.
    PassAhead,
    Hold,
    Drop,
    /// The answer is over before it.
    Over,
    Astray,
}

impl Stitch {
    /// After `transcript`, of which `in_prompt` tokens were sent to the backend that goes on. `stops` are the request's
    /// stop sequences. A backend whose silence is not believed must say something before it may say that it is done.
    pub fn new(transcript: &Transcript, in_prompt: u64, stops: &[String], believes_silence: bool) -> Self {
        let content = !transcript.content.text.is_empty();
        let expected = if content {
            Expected::after(&transcript.content.text, stops)
        } else {
            Expected::after(&transcript.reasoning.text, &[])
        };
        Self {
            identity: transcript.identity.clone(),
            role: transcript.role,
            content,
            before: Before::of(transcript, in_prompt),
            expected,
            held: BytesMut::new(),
            thought_anew: false,
            spoke: false,
            believes_silence,
        }
    }

    /// Takes a run of whole events.
    pub fn push(&mut self, run: &Bytes) -> Stitched {
        let mut out = BytesMut::new();
        for event in events(run) {
            let mut edits = Edits::default();
            let fate = self.judge(&event, &mut edits);
            match fate {
                Fate::PassAhead => out.extend_from_slice(&event),
                Fate::Pass => {
                    out.extend_from_slice(&self.held.split());
                    out.extend_from_slice(&edits.apply(&event));
                }
                Fate::Hold if self.held.len() > MOST_HELD => return Stitched::Astray(out.freeze()),
                Fate::Hold => self.held.extend_from_slice(&edits.apply(&event)),
                Fate::Drop => {}
                Fate::Over => {
                    out.extend_from_slice(&self.identity.clone().unwrap_or_default().end("stop"));
                    return Stitched::Over(out.freeze());
                }
                Fate::Astray => return Stitched::Astray(out.freeze()),
            }
        }
        Stitched::Pass(out.freeze())
    }

    fn judge(&mut self, event: &[u8], edits: &mut Edits<'_>) -> Fate {
        let (chunk, data) = match Payload::of(event) {
            Payload::Chunk(chunk, data) => (chunk, data),
            Payload::Nothing => return Fate::PassAhead,
            Payload::Done | Payload::Unreadable => return Fate::Pass,
        };
        if chunk.choices.is_some() {
            self.rename(&chunk, event, data, edits);
        }
        if let Some(usage) = chunk.usage {
            self.before.add_to(usage, event, edits);
        }
        match chunk.choices.as_deref() {
            Some([choice]) if choice.index == 0 => {
                let fate = self.choice(choice, event, edits);
                // Token counts always pass.
                if matches!(fate, Fate::Drop) && chunk.usage.is_some() { Fate::Pass } else { fate }
            }
            _ => Fate::Pass,
        }
    }

    /// Gives a chunk the identity of the first.
    fn rename(&self, chunk: &Chunk<'_>, event: &[u8], data: &[u8], edits: &mut Edits<'_>) {
        let Some(identity) = &self.identity else { return };
        let first = data.as_ptr().addr() - event.as_ptr().addr() + 1;
        for (field, value, wanted) in [
            ("id", chunk.id, &identity.id),
            ("created", chunk.created, &identity.created),
            ("model", chunk.model, &identity.model),
            ("system_fingerprint", chunk.system_fingerprint, &identity.system_fingerprint),
        ] {
            match (value, wanted) {
                (Some(value), wanted) => {
                    let wanted = wanted.as_deref().unwrap_or("null");
                    edits.replace(place(event, value.get()), wanted.to_owned());
                }
                (None, Some(wanted)) => edits.insert(first, format!("\"{field}\":{wanted},")),
                (None, None) => {}
            }
        }
    }

    fn choice(&mut self, choice: &Choice<'_>, event: &[u8], edits: &mut Edits<'_>) -> Fate {
        let nothing = Delta::default();
        let delta = choice.delta.as_ref().unwrap_or(&nothing);
        let (Some(said), Some(thought)) = (text(delta.content), text(delta.thought())) else {
            return Fate::Pass;
        };
        let mut null = |value: Option<&serde_json::value::RawValue>| {
            if let Some(value) = value {
                edits.replace(place(event, value.get()), "null");
            }
        };
        // A frame that does nothing else is dropped.
        let mut removed = self.role && delta.role.is_some();
        if removed {
            null(delta.role);
        }
        let mut shows = !said.is_empty() || delta.calls() || delta.says_otherwise();
        if self.content && !thought.is_empty() {
            null(delta.thought());
            (removed, self.thought_anew) = (true, true);
        } else {
            shows |= !thought.is_empty();
        }
        let finish = choice.finish();
        let (value, piece) = if self.content { (delta.content, &said) } else { (delta.thought(), &thought) };
        match self.listen(piece, shows || finish.is_some(), finish.is_some()) {
            Heard::Rest => {}
            Heard::Open => return Fate::Hold,
            Heard::Stop => return Fate::Over,
            Heard::Echo(rest) => {
                self.held.clear();
                (removed, shows, self.spoke) = (true, !rest.is_empty(), false);
                if let Some(value) = value {
                    edits.replace(place(event, value.get()), Value::from(rest).to_string());
                }
            }
        }
        self.spoke |= shows;
        match finish {
            Some("stop") if !self.spoke && (self.thought_anew || !self.believes_silence) => Fate::Astray,
            None if removed && !shows => Fate::Drop,
            _ => Fate::Pass,
        }
    }

    /// Compares a piece of text with what is expected. Anything else that is shown ends the expectation, and so does
    /// the end of the answer.
    fn listen(&mut self, piece: &str, shows: bool, ends: bool) -> Heard {
        if self.expected.is_over() {
            return Heard::Rest;
        }
        if piece.is_empty() && !shows {
            return if self.held.is_empty() { Heard::Rest } else { Heard::Open };
        }
        let heard = if piece.is_empty() { Heard::Open } else { self.expected.hear(piece) };
        if heard == Heard::Open && (ends || piece.is_empty()) {
            self.expected = Expected::default();
            return Heard::Rest;
        }
        heard
    }
}

#[cfg(test)]
#[path = "stitch_tests.rs"]
mod tests;
