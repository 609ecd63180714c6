//! The process that cleans up after a cluster, also when the test process was killed.

use std::{
    fs::File,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context as _;
use parking_lot::Mutex;

/// Set to keep a cluster's folder with its logs.
const KEEP_VARIABLE: &str = "DEEPSEEK_TESTS_KEEP";

/// Owns a folder and the processes that work in it; both are gone when this is dropped.
pub(crate) struct Janitor {
    dir: PathBuf,
    child: Child,
    /// The line to the process; closing it is the sign to clean up.
    orders: Mutex<Option<ChildStdin>>,
}

impl Janitor {
    /// Makes a new folder for a cluster and starts the process that will clean it up.
    ///
    /// `lock` is held until the cleaning is over; `traces` (`link:NAME`, `cgroup:NAME`) are removed too.
    pub(crate) fn start(prefix: &str, lock: Option<File>, traces: &[String]) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .context("failed to create a temporary folder")?;
        let keep = std::env::var_os(KEEP_VARIABLE).is_some();
        let mut command = Command::new("bash");
        command.arg("-c").arg(include_str!("janitor.sh")).arg("janitor");
        command.arg(if keep { Path::new("") } else { dir.path() }).args(traces);
        // Its own group: Ctrl-C must reach the tests, not the one who cleans up after them.
        command.stdin(Stdio::piped()).process_group(0).current_dir("/");
        command.stdout(lock.map_or_else(Stdio::null, Stdio::from));
        let mut child = command.spawn().context("failed to start `bash`")?;
        let orders = child.stdin.take();
        let dir = dir.keep();
        if keep {
            eprintln!("{KEEP_VARIABLE} is set: {} stays", dir.display());
        }
        Ok(Self { dir, child, orders: Mutex::new(orders) })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// From now on the process group `pid` goes when the cluster goes.
    pub(crate) fn watch(&self, pid: u32) -> anyhow::Result<()> {
        self.order("watch", pid)
    }

    /// The process group `pid` has ended; its number may become somebody else's.
    pub(crate) fn forget(&self, pid: u32) -> anyhow::Result<()> {
        self.order("forget", pid)
    }

    fn order(&self, verb: &str, pid: u32) -> anyhow::Result<()> {
        let mut orders = self.orders.lock();
        let pipe = orders.as_mut().context("the cluster is being cleaned up")?;
        writeln!(pipe, "{verb} {pid}").context("the process that cleans up has gone")
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.orders.lock().take());
        // Nothing better can be done in a destructor: the process says itself what it could not remove.
        let _ = self.child.wait();
    }
}
