//! What came of the calls so far.

use super::plan::Plan;
use super::verdict::{Heard, Verdict};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;

/// Violations that are kept whole; more are counted.
const KEPT: usize = 20;
/// Bytes of a violation that are shown.
const SHOWN: usize = 16 << 10;

/// Counts of calls.
#[derive(Debug, Default)]
pub struct Tally {
    counts: Mutex<Counts>,
}

/// The figures.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// All calls.
    pub calls: u64,
    /// Streams among them.
    pub streams: u64,
    /// Right answers.
    pub answers: u64,
    /// Clear errors, by code.
    pub errors: BTreeMap<String, u64>,
    /// Calls whose client left.
    pub left: u64,
    /// What must not be.
    pub violations: u64,
    /// The first of them, told.
    pub told: Vec<String>,
}

impl Tally {
    /// Counts a call.
    pub fn count(&self, plan: &Plan, heard: &Heard, verdict: Verdict) {
        let mut counts = self.counts.lock();
        counts.calls += 1;
        counts.streams += u64::from(plan.stream);
        match verdict {
            Verdict::Answer => counts.answers += 1,
            Verdict::Error(code) => *counts.errors.entry(code).or_default() += 1,
            Verdict::Left => counts.left += 1,
            Verdict::Violation(what) => {
                counts.violations += 1;
                if counts.told.len() < KEPT {
                    let told = tell(plan, heard, &what);
                    // At once: a long soak need not be awaited to the end.
                    eprintln!("{told}");
                    counts.told.push(told);
                }
            }
        }
    }

    /// The figures now.
    pub fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }
}

fn tell(plan: &Plan, heard: &Heard, what: &str) -> String {
    let Plan { id, model, stream, thinking, leaves_after, leaves_at, reads_every, prompt } = plan;
    let shown = String::from_utf8_lossy(&heard.bytes[..heard.bytes.len().min(SHOWN)]);
    format!(
        "violation: call {id}: {what}\n  {model}, stream {stream}, thinking {thinking}, {} words, leaves {leaves_after:?} \
         {leaves_at:?}, reads every {reads_every:?}\n  status {}, broken {:?}, {} bytes:\n{shown}",
        prompt.split(' ').count(),
        heard.status,
        heard.broken,
        heard.bytes.len(),
    )
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { calls, answers, errors, left, violations, .. } = self.counts();
        let errors: u64 = errors.values().sum();
        write!(f, "{calls} calls, {answers} answers, {errors} errors, {left} left, {violations} violations")
    }
}
