//! The four ways to ask for an answer: how each reads a request and writes the answer.

use bytes::Bytes;

use crate::{
    answer::{Answer, Ask},
    check::{self, House},
    request::{ChatRequest, parse},
    wire::{chat, errors::Refusal, fim, sse::Frames},
};

/// An API that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Fim,
}

impl Api {
    /// Reads and checks a request.
    pub(crate) fn ask(self, body: &[u8], house: House<'_>) -> Result<Ask, Refusal> {
        match self {
            Self::Chat => check::chat(parse::<ChatRequest>(body)?, house),
            Self::Fim => fim::ask(parse(body)?, house),
        }
    }

    /// The whole answer.
    pub(crate) fn whole(self, answer: &Answer) -> Bytes {
        match self {
            Self::Chat => chat::whole(answer),
            Self::Fim => fim::whole(answer),
        }
        .into()
    }

    /// The answer as a stream.
    pub(crate) fn frames(self, answer: Answer) -> Frames {
        match self {
            Self::Chat => chat::frames(answer),
            Self::Fim => fim::frames(answer),
        }
    }
}
