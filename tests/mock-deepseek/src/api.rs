//! The four ways to ask for an answer: how each reads a request and writes the answer.

use bytes::Bytes;

use crate::{
    answer::{Answer, Ask},
    check::{self, House},
    request::{ChatRequest, parse},
    wire::{anthropic, chat, errors::Refusal, fim, responses, sse::Frames},
};

/// An API that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Fim,
    Messages,
    Responses,
}

impl Api {
    /// Reads and checks a request.
    pub(crate) fn ask(self, body: &[u8], house: House<'_>) -> Result<Ask, Refusal> {
        match self {
            Self::Chat => check::chat(parse::<ChatRequest>(body)?, house),
            Self::Fim => fim::ask(parse(body)?, house),
            Self::Messages => anthropic::ask(parse(body)?, house),
            Self::Responses => responses::ask(parse(body)?, house),
        }
    }

    /// The whole answer.
    pub(crate) fn whole(self, answer: &Answer) -> Bytes {
        match self {
            Self::Chat => chat::whole(answer),
            Self::Fim => fim::whole(answer),
            Self::Messages => anthropic::whole(answer),
            Self::Responses => responses::whole(answer),
        }
        .into()
    }

    /// The answer as a stream.
    pub(crate) fn frames(self, answer: &Answer) -> Frames {
        match self {
            Self::Chat => chat::frames(answer),
            Self::Fim => fim::frames(answer),
            Self::Messages => anthropic::frames(answer),
            Self::Responses => responses::frames(answer),
        }
    }
}
