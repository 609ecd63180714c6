//! What one call asks for, and how its client behaves.

use super::world::{KEPT, MODELS};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::time::Duration;

/// What every prompt begins with.
pub const MARK: &str = "soaked-call";

/// Questions to the model whose answers are kept: few, so that several clients ask the same at the same time.
const QUESTIONS: u64 = 12;

/// A call.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which one: in what is said of it.
    pub id: String,
    pub model: &'static str,
    pub stream: bool,
    pub thinking: bool,
    /// What is said: the mark and which call or question it is, so that an answer to another one is seen, then words, of
    /// which no two are alike, so that one that is lost or comes twice is seen.
    pub prompt: String,
    /// Leaves this long after the request was sent, if it is not over by then.
    pub leaves_after: Option<Duration>,
    /// Leaves when it has read so many pieces.
    pub leaves_at: Option<usize>,
    /// Waits so long before it reads another piece.
    pub reads_every: Duration,
}

impl Plan {
    /// Draws a call.
    pub fn draw(id: String, chance: &mut StdRng) -> Self {
        let [resumed, plain, kept] = MODELS;
        let model = match chance.random_range(0..8) {
            0..4 => resumed,
            4..6 => plain,
            _ => kept,
        };
        let (prompt, thinking) = if model == KEPT {
            let question = chance.random_range(0..QUESTIONS);
            say(&format!("question-{question}"), &mut StdRng::seed_from_u64(question))
        } else {
            say(&id, chance)
        };
        let leaves = chance.random_range(0..100);
        let slow = chance.random_ratio(1, 8);
        Self {
            id,
            model,
            stream: chance.random_ratio(3, 4),
            thinking,
            prompt,
            leaves_after: (leaves < 6).then(|| Duration::from_millis(chance.random_range(0..800))),
            leaves_at: (6..12).contains(&leaves).then(|| chance.random_range(1..30)),
            reads_every: Duration::from_millis(if slow { chance.random_range(5..60) } else { 0 }),
        }
    }

    /// The request's body.
    pub fn body(&self) -> Value {
        let thinking = if self.thinking { "enabled" } else { "disabled" };
        json!({
            "model": self.model,
            "stream": self.stream,
            "thinking": {"type": thinking},
            "messages": [{"role": "user", "content": self.prompt}],
        })
    }
}

/// Draws what is said, and whether it is to be thought about.
fn say(which: &str, chance: &mut StdRng) -> (String, bool) {
    let words = if chance.random_ratio(1, 60) { 2000 } else { chance.random_range(1..60) };
    let said: String = (0..words).map(|word| format!(" w{word}")).collect();
    (format!("{MARK} {which}{said}"), chance.random_ratio(1, 4))
}
