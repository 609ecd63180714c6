//! One program of a cluster, with its log.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{janitor::Janitor, wait::try_eventually};

/// How long a program may take to be ready on a machine that is busy with other tests.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// How much of a log an error message quotes.
const QUOTED_LINES: usize = 15;

/// A running program; killed when dropped, or by the janitor when we are killed first.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    janitor: Arc<Janitor>,
}

impl Process {
    /// Starts `command` in a process group of its own, with its output in `log/NAME.log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, janitor: &Arc<Janitor>) -> anyhow::Result<Self> {
        let log = janitor.dir().join("log").join(format!("{name}.log"));
        fs::create_dir_all(log.parent().unwrap_or(Path::new("/")))?;
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("failed to open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("failed to start {name} ({command:?})"))?;
        let process = Self { name: name.to_owned(), child, log, janitor: Arc::clone(janitor) };
        janitor.watch(process.child.id())?;
        Ok(process)
    }

    /// Its process number; of the group too.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails, quoting the end of the log, when the program has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        anyhow::bail!("{} ended with {status}; the end of its log:\n{}", self.name, self.log_tail())
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Failures mean that it has gone already, which is what is wanted.
        // The whole group: `nsenter` and `unshare` stand before the program that is meant.
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
        let _ = self.janitor.forget(self.child.id());
    }
}

/// Waits until `look` is `Ok`; gives up at once when one of `programs` has ended, and says why it did.
pub(crate) async fn until_ready<T>(
    what: &str,
    programs: &mut [Process],
    mut look: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let looked = try_eventually(what, START_DEADLINE, async || {
        if programs.iter_mut().any(|program| program.check().is_err()) {
            return anyhow::Ok(None);
        }
        look().await.map(Some)
    })
    .await;
    for program in &mut *programs {
        program.check()?;
    }
    let tails = || programs.iter().map(|program| format!("{} says:\n{}", program.name, program.log_tail()));
    looked.with_context(|| tails().collect::<Vec<_>>().join("\n"))?.context("a program ended and came back")
}
