//! What is said at the end, and whether all is well.

use super::Soak;
use super::tally::{Counts, Tally};
use super::vitals::{Vitals, Work};
use std::fmt;
use std::sync::Arc;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    pub(super) soak: Soak,
    pub(super) tally: Arc<Tally>,
    pub(super) vitals: Vitals,
    pub(super) work: Work,
    /// What was not given back.
    pub(super) left: Vec<String>,
    /// What is in the log and must not be.
    pub(super) leaks: Vec<&'static str>,
}

impl Report {
    /// What is wrong; nothing, if all is well.
    pub fn problems(&self) -> Vec<String> {
        let counts = self.tally.counts();
        let mut problems = counts.told;
        problems.extend(self.left.iter().map(|left| format!("not given back: {left}")));
        problems.extend(self.leaks.iter().map(|&leak| leak.to_owned()));
        if !self.vitals.is_flat() {
            let (early, late) = self.vitals.quarters();
            problems.push(format!("memory grew from {early:.1} to {late:.1} MiB"));
        }
        if self.work.hits == 0 {
            problems.push("no answer was given again".to_owned());
        }
        if self.work.degraded > counts.calls / 10 {
            problems.push(format!(
                "{} degraded answers, though upstreams are seldom all out",
                self.work.degraded
            ));
        }
        if counts.answers == 0 {
            problems.push("no call was answered".to_owned());
        }
        problems
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { calls, streams, answers, errors, left, violations, .. } = self.tally.counts();
        let Work { attempts, cancelled, resumed, not_resumed, hits, merged, degraded } = self.work;
        let (most, median) = self.vitals.memory();
        let ((early, late), first, last) = (self.vitals.quarters(), self.vitals.first(), self.vitals.last());
        let Soak { time, seed, clients, .. } = self.soak;
        writeln!(f, "ran                 {time:?} with {clients} clients, seed {seed}")?;
        writeln!(f, "calls               {calls}, {streams} of them streams")?;
        writeln!(f, "whole right answers {answers}")?;
        writeln!(f, "clear errors        {}", errors.values().sum::<u64>())?;
        for (code, count) in errors {
            writeln!(f, "  {code:<34} {count}")?;
        }
        writeln!(f, "clients that left   {left}")?;
        writeln!(
            f,
            "attempts            {attempts}, {cancelled} of them cancelled (hedges, clients that left)"
        )?;
        writeln!(f, "broken streams      {resumed} resumed, {not_resumed} not, where the route wants it")?;
        writeln!(f, "without an attempt  {hits} kept answers, {merged} shared, {degraded} degraded")?;
        writeln!(
            f,
            "memory              {:.1} MiB idle, median {median:.1}, at most {most:.1}, at the end {:.1}",
            first.memory, last.memory
        )?;
        writeln!(f, "                    second quarter {early:.1} MiB, last quarter {late:.1}")?;
        writeln!(
            f,
            "files, threads      {}, {} idle; {}, {} after the last call",
            first.files, first.threads, last.files, last.threads
        )?;
        write!(f, "violations          {violations}")
    }
}
