//! What one call asks for, and how its client behaves.

use super::world::MODELS;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::time::Duration;

/// What every prompt begins with.
pub const MARK: &str = "soaked-call";

/// A call.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which one: in its prompt, and in what is said of it.
    pub id: String,
    pub model: &'static str,
    pub stream: bool,
    pub thinking: bool,
    /// What is said: the mark, so that an answer to another call is seen, then words, of which no two are alike, so that
    /// one that is lost or comes twice is seen.
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
        let words = if chance.random_ratio(1, 60) { 2000 } else { chance.random_range(1..60) };
        let said: String = (0..words).map(|word| format!(" w{word}")).collect();
        let leaves = chance.random_range(0..100);
        let slow = chance.random_ratio(1, 8);
        Self {
            prompt: format!("{MARK} {id}{said}"),
            id,
            model: MODELS[usize::from(chance.random_ratio(1, 3))],
            stream: chance.random_ratio(3, 4),
            thinking: chance.random_ratio(1, 4),
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
