//! What is known to go wrong between a client and DeepSeek, played by the fake and looked at from both ends.
//!
//! One list ([`every_case`](crate::every_case)) makes the tests of `tests/tests/failures.rs` and the table of `cargo xtask failures`. A case is
//! a function named after what it shows; it says what the client saw and what the backends received, or fails.

pub mod accounts;
pub mod answer;
pub mod beginnings;
pub mod failoverbench;
pub mod leaving;
mod list;
mod middlebox;
pub mod passing;
mod pods;
pub mod quotas;
pub mod resuming;
pub mod retries;
pub mod silence;
pub mod stage;
pub mod streams;
pub mod table;

use anyhow::Result;
use futures::future::LocalBoxFuture;
use std::time::Duration;

pub use list::{ABSENT, cases};

/// A failure, and what shows that the gateway stands it.
pub struct Case {
    /// `F1`, as in the list of known failures.
    pub id: String,
    /// What is shown, as a sentence.
    pub title: String,
    /// What the route says beyond its defaults: mostly clocks, shortened so that the run is short.
    pub settings: &'static str,
    /// The scenarios of failoverbench that it covers.
    pub scenarios: &'static str,
    /// Plays it.
    pub run: fn() -> LocalBoxFuture<'static, Result<Seen>>,
}

/// A failure that this gateway has no answer to, or that cannot happen to it.
pub struct Absent {
    /// As in [`Case`].
    pub id: &'static str,
    /// What goes wrong elsewhere.
    pub title: &'static str,
    /// Why there is no case.
    pub reason: &'static str,
}

/// What was seen of a case from both ends.
#[derive(Debug)]
pub struct Seen {
    /// What the client got, in a few words.
    pub client: String,
    /// How many calls the client made.
    pub calls: u64,
    /// How many each backend received.
    pub attempts: Vec<(String, u64)>,
    /// How much longer than without the failure the client waited, at the worst.
    pub added: Duration,
}

impl Seen {
    /// The same without the time that the fake takes of itself.
    #[must_use]
    pub fn less(mut self, pace: Duration) -> Self {
        self.added = self.added.saturating_sub(pace);
        self
    }
}

impl Case {
    /// A case from the name of its function, such as `f18b_a_first_call_is_let_in`.
    fn new(
        function: &str,
        settings: &'static str,
        scenarios: &'static str,
        run: fn() -> LocalBoxFuture<'static, Result<Seen>>,
    ) -> Self {
        let (number, words) = function.split_once('_').unwrap_or((function, ""));
        // `f01` is F1, as `s01` is failoverbench's S01.
        let id = number.strip_prefix("f0").map_or_else(|| number.to_owned(), |number| format!("f{number}"));
        let id = id.replacen(['f', 's'], &number[..1].to_ascii_uppercase(), 1);
        let mut title = words.split('_').map(written).collect::<Vec<_>>().join(" ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self { id, title, settings, scenarios, run }
    }
}

/// A word of a function's name as it is written elsewhere.
fn written(word: &str) -> &str {
    match word {
        "json" => "JSON",
        "tcp" => "TCP",
        "anthropic" => "Anthropic",
        _ => word,
    }
}
