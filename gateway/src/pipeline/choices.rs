//! The choices of a stream that has several: it is whole once each of them has finished.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Which choices have begun and which have finished.
#[derive(Debug)]
pub struct Choices {
    wanted: u64,
    begun: BTreeSet<u64>,
    finished: BTreeSet<u64>,
    unread: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    /// Some servers have it as `null` or `0.0`.
    #[serde(default)]
    index: Option<f64>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Choices {
    /// So many are wanted; `None` where that is one, of which the finish reason alone tells.
    #[must_use]
    pub fn of(wanted: u64) -> Option<Self> {
        (wanted > 1).then(|| Self {
            wanted,
            begun: BTreeSet::new(),
            finished: BTreeSet::new(),
            unread: false,
        })
    }

    /// Reads a chunk. Returns whether all so far could be read.
    pub fn read(&mut self, data: &[u8]) -> bool {
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
            self.unread = true;
            return false;
        };
        for Choice { index, finish_reason } in chunk.choices {
            let index = index.unwrap_or_default().to_bits();
            // Bounded by what was asked for, whatever a server says.
            if self.begun.len() as u64 <= self.wanted {
                self.begun.insert(index);
            }
            // Some servers have an empty reason in every chunk but the last.
            if self.begun.contains(&index) && finish_reason.is_some_and(|reason| !reason.is_empty()) {
                self.finished.insert(index);
            }
        }
        !self.unread
    }

    /// Whether a chunk could not be read, so that what is known of the choices may be wrong.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// Whether every choice that was wanted has finished.
    #[must_use]
    pub fn all(&self) -> bool {
        self.all_begun() && self.finished.len() as u64 >= self.wanted
    }

    /// Whether every choice that has begun has finished: a server that makes fewer than were wanted ends with them.
    #[must_use]
    pub fn all_begun(&self) -> bool {
        !self.begun.is_empty() && self.begun == self.finished
    }
}
