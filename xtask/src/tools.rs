//! Running programs for somebody who waits: what goes on, since when, and why it failed.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use kubernetes_assets::cache_dir;

/// How often a long step says that it is still at it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// How much of a failed program's output is shown.
const SHOWN_LINES: usize = 25;

/// Prints what a command does, with the seconds since it began.
pub(crate) struct Progress {
    command: &'static str,
    start: Instant,
}

impl Progress {
    pub(crate) fn start(command: &'static str) -> Self {
        Self { command, start: Instant::now() }
    }

    pub(crate) fn say(&self, what: &str) {
        eprintln!("{} [{:5.1} s] {what}", self.command, self.start.elapsed().as_secs_f32());
    }

    /// Runs `command` with its output in a file; says `what` at the start, signs of life, and the output's end if it fails.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> anyhow::Result<()> {
        self.say(what);
        let begin = Instant::now();
        let log = log_file()?;
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("failed to start `{program}`"))?;
        let mut said = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if said.elapsed() >= SIGN_OF_LIFE {
                self.say(&format!("… still {what} ({} s)", begin.elapsed().as_secs()));
                said = Instant::now();
            }
            thread::sleep(Duration::from_millis(50));
        };
        let output = fs::read(&log).unwrap_or_default();
        // The log served its purpose, and its loss changes nothing.
        let _ = fs::remove_file(&log);
        if status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = output.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        anyhow::bail!("`{program}` ended with {status}:\n{end}")
    }
}

fn log_file() -> anyhow::Result<PathBuf> {
    let dir = cache_dir();
    fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
    Ok(dir.join(format!("setup-{}.log", std::process::id())))
}
