//! Running a program of tests: its lines are shown as they come, and counted.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::Context as _;

/// Every test has a deadline of its own, so a program that says nothing for this long never will.
const SILENCE: Duration = Duration::from_mins(10);

/// What came of some tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    /// What failed, by name.
    pub(super) failures: Vec<String>,
}

impl Outcome {
    /// One that passed, such as a check.
    pub(super) fn pass() -> Self {
        Self { passed: 1, ..Self::default() }
    }

    /// One that failed.
    pub(super) fn failure(what: impl Into<String>) -> Self {
        Self { failed: 1, failures: vec![what.into()], ..Self::default() }
    }

    pub(super) fn add(&mut self, other: Self) {
        let Self { passed, failed, ignored, failures } = other;
        self.passed += passed;
        self.failed += failed;
        self.ignored += ignored;
        self.failures.extend(failures);
    }

    /// Takes in a line that libtest printed.
    fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Runs a program of tests named `title`.
pub(super) fn run(title: &str, command: &mut Command) -> anyhow::Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {title}"))?;
    let output = child.stdout.take().context("the program has no output")?;
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });

    let mut outcome = Outcome::default();
    let mut shown = false;
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                outcome.read(&line);
                shown |= announces_tests(&line);
                if shown && !line.is_empty() {
                    println!("{line}");
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill().with_context(|| format!("failed to stop {title}"))?;
                child.wait()?;
                let minutes = SILENCE.as_secs() / 60;
                outcome.add(Outcome::failure(format!("{title} said nothing for {minutes} minutes")));
                return Ok(outcome);
            }
        }
    }
    let status = child.wait()?;
    if !status.success() && outcome.failed == 0 {
        outcome.add(Outcome::failure(format!("{title} ended with {status}")));
    }
    Ok(outcome)
}

/// Whether more is to come than the four lines of a program without tests.
fn announces_tests(line: &str) -> bool {
    line.strip_prefix("running ").is_some_and(|rest| !rest.starts_with("0 tests"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        for line in lines {
            outcome.read(line);
        }
        outcome
    }

    #[test]
    fn counts_are_summed_over_result_lines_and_failures_are_named() {
        let outcome = read(&[
            "running 3 tests",
            "test a::first ... ok",
            "test a::second ... FAILED",
            "test a::third ... ignored, needs root",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ]);

        assert_eq!(outcome, Outcome { passed: 5, failed: 1, ignored: 1, failures: vec!["a::second".into()] });
    }

    #[test]
    fn what_tests_print_is_not_mistaken_for_a_result() {
        let outcome = read(&["the last test result: ok. 4 passed; 0 failed", "test result is pending"]);
        assert_eq!(outcome, Outcome::default());
    }

    #[test]
    fn a_program_that_dies_before_its_result_counts_as_a_failure() {
        let outcome = run("sh", Command::new("sh").args(["-c", "echo running 1 test; exit 101"])).unwrap();

        assert_eq!((outcome.passed, outcome.failed), (0, 1));
        assert!(outcome.failures[0].contains("sh ended with exit status: 101"), "{outcome:?}");
    }
}
