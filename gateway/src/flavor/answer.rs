//! Answers: what another kind of server says in other words, said in DeepSeek's on its way to the client.
//!
//! Whole events and whole answers only. What differs is replaced where it stands; numbers, unknown fields and the order
//! of everything stay. An answer of DeepSeek's own is not looked at.

use super::object::{Edit, Object};
use super::{history, usage};
use crate::pipeline::endpoint::Endpoint;
use crate::pipeline::frames::data_of;
use crate::pipeline::resume::events::events;
use crate::upstream::splice::{self, Splice};
use bytes::{Bytes, BytesMut};
use deepseek_crds::v1alpha1::Flavor;
use memchr::memmem::Finder;
use serde_json::value::RawValue;
use std::sync::LazyLock;

static REASONING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"reasoning\""));
static CHOICES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"choices\""));

/// What is done to the events of one server's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retelling {
    renames: bool,
    /// The client did not ask for usage, the gateway did: chunks without choices are not for it.
    hides: bool,
}

/// Whether answers of such a server may say something in other words.
#[must_use]
pub fn differs(flavor: Flavor, endpoint: Endpoint) -> bool {
    flavor != Flavor::DeepSeek && matches!(endpoint, Endpoint::Chat | Endpoint::BetaChat)
}

impl Retelling {
    /// For a stream of such a server that answers the client's `body`; `None` where nothing has to be done.
    #[must_use]
    pub fn of(flavor: Flavor, endpoint: Endpoint, body: &[u8]) -> Option<Self> {
        let renames = differs(flavor, endpoint);
        let hides = matches!(endpoint, Endpoint::Chat | Endpoint::BetaChat | Endpoint::Completions)
            && usage::is_on_request(flavor)
            && !usage::is_asked_for(body);
        (renames || hides).then_some(Self { renames, hides })
    }

    /// What of a run of whole events the client gets.
    #[must_use]
    pub fn events(self, run: Bytes) -> Bytes {
        let renames = self.renames && REASONING.find(&run).is_some();
        let hides = self.hides && shows_no_choices(&run);
        if !renames && !hides {
            return run;
        }
        let mut out = BytesMut::with_capacity(run.len() + run.len() / 4);
        for event in events(&run) {
            if !(hides && is_choiceless(&event)) {
                splice::write(
                    &mut out,
                    &event,
                    data_of(&event).flat_map(|data| renamed(&event, data)).collect(),
                );
            }
        }
        out.freeze()
    }
}

/// A whole answer as the client gets it; `None` where it is that already.
#[must_use]
pub fn whole(body: &[u8]) -> Option<Bytes> {
    REASONING.find(body)?;
    let splices = renamed(body, body);
    if splices.is_empty() {
        return None;
    }
    let mut out = BytesMut::with_capacity(body.len() + 64);
    splice::write(&mut out, body, splices);
    Some(out.freeze())
}

/// Gives the reasoning in `part` of `whole`, a chunk or an answer, the name that DeepSeek has for it.
fn renamed(whole: &[u8], part: &[u8]) -> Vec<Splice> {
    let Some(top) = Object::within(whole, part) else { return Vec::new() };
    let choices = top.given("choices").map_or("[]", RawValue::get);
    let Ok(choices) = serde_json::from_str::<Vec<&RawValue>>(choices) else { return Vec::new() };
    let mut splices = Vec::new();
    for choice in choices.into_iter().filter_map(|choice| Object::at(whole, choice)) {
        for name in ["delta", "message"] {
            if let Some(message) = choice.given(name).and_then(|value| Object::at(whole, value)) {
                let mut edit = Edit::new(&message);
                history::name_reasoning(&message, &mut edit);
                splices.extend(edit.finish());
            }
        }
    }
    splices
}

/// Whether a run seems to hold a chunk with an empty list of choices.
fn shows_no_choices(run: &[u8]) -> bool {
    CHOICES.find_iter(run).any(|at| {
        let value = run[at + CHOICES.needle().len()..].trim_ascii_start().strip_prefix(b":");
        let list = value.and_then(|value| value.trim_ascii_start().strip_prefix(b"["));
        list.is_some_and(|list| list.trim_ascii_start().starts_with(b"]"))
    })
}

/// Whether an event is a chunk with no choices and no error: usage, or the filter's word about the prompt.
fn is_choiceless(event: &[u8]) -> bool {
    let chunk = data_of(event).next().and_then(|data| Object::within(event, data));
    chunk.is_some_and(|chunk| {
        let choices =
            chunk.given("choices").and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok());
        choices.is_some_and(|list| list.is_empty()) && chunk.given("error").is_none()
    })
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
