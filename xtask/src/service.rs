//! Programs that run beside a command: started, waited for until they serve, and stopped with it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take until it serves.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long it may take to leave when it is told to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// A running program; it is stopped when this is dropped.
pub(crate) struct Service {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts `command` and waits for a line of output with each of these prefixes; returns what follows them.
    ///
    /// What it logs goes to `NAME.log` in `logs`.
    pub(crate) fn start<const N: usize>(
        name: &str,
        command: &mut Command,
        logs: &Path,
        prefixes: [&str; N],
    ) -> anyhow::Result<(Self, [String; N])> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        // Ctrl-C in the terminal is for us, who stop everything in order.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("failed to start {name}"))?;
        let mut service = Self { name: name.to_owned(), child, log };
        let lines = lines_of(service.child.stdout.take().context("the program has no output")?);
        let mut found = [const { String::new() }; N];
        let begin = Instant::now();
        while found.iter().any(String::is_empty) {
            let left = START_DEADLINE.saturating_sub(begin.elapsed());
            let Ok(line) = lines.recv_timeout(left) else {
                anyhow::bail!("{name} does not serve; {}", service.last_words())
            };
            for (prefix, found) in prefixes.iter().zip(&mut found) {
                if let Some(rest) = line.strip_prefix(prefix) {
                    rest.clone_into(found);
                }
            }
        }
        Ok((service, found))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error, if it is not running any more.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none() {
            return Ok(());
        }
        let last_words = self.last_words();
        anyhow::bail!("{} has ended; {last_words}", self.name)
    }

    /// Tells it to leave and waits until it has; whether it did so by itself.
    pub(crate) fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.pid())?) {
            // It may be gone already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let begin = Instant::now();
        while begin.elapsed() < STOP_DEADLINE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    fn last_words(&mut self) -> String {
        let status = self.child.try_wait().ok().flatten();
        let state = status.map_or("it is still running".to_owned(), |status| status.to_string());
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("{state}; its log ends with:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("failed to stop {}: {error:#}", self.name);
        }
    }
}

/// Its lines; they are read to the end, so that it never waits for us.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Nobody waits any more: read on all the same.
            let _ = send.send(line);
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_service_is_awaited_until_it_serves_and_stopped_in_the_end() {
        let logs = tempfile::tempdir().unwrap();
        let mut command = shell("echo starting; echo admin on b; echo listening on a; exec sleep 1000");

        let (mut service, found) =
            Service::start("it", &mut command, logs.path(), ["listening on ", "admin on "]).unwrap();

        assert_eq!(found, ["a", "b"]);
        service.check().unwrap();
        let status = service.stop().unwrap();
        assert!(!status.success());
        assert!(service.check().is_err());
    }

    #[test]
    fn a_service_that_ends_early_tells_what_it_logged() {
        let logs = tempfile::tempdir().unwrap();

        let result = Service::start("it", &mut shell("echo no port left >&2; exit 3"), logs.path(), ["x"]);

        let error = result.err().unwrap().to_string();
        assert!(error.contains("no port left"), "{error}");
    }
}
