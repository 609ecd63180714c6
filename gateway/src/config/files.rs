//! Manifest files: which there are, what is in them, and when they change.

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A change is over when nothing happened for this long: editors and `kubectl cp` write in several steps.
const QUIET: Duration = Duration::from_millis(25);

/// At the latest then.
const LONGEST: Duration = Duration::from_millis(500);

/// The text of each file, or why it cannot be read.
pub type Contents = BTreeMap<PathBuf, Result<String, String>>;

/// Reads every file that `paths` name: files as they are, directories' `*.yaml`, `*.yml` and `*.json`.
pub fn read(paths: &[PathBuf]) -> Contents {
    let mut contents = Contents::new();
    for path in paths {
        match list(path) {
            Ok(files) => contents.extend(files.into_iter().map(|file| {
                let text = fs::read_to_string(&file).map_err(|error| error.to_string());
                (file, text)
            })),
            Err(error) => {
                contents.insert(path.clone(), Err(error.to_string()));
            }
        }
    }
    contents
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && is_manifest(&file) && file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

fn is_manifest(file: &Path) -> bool {
    file.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

/// Says when something in `paths` may have changed.
pub struct Changes {
    events: Receiver<notify::Result<notify::Event>>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Begins to watch. A file is watched through its directory, since many editors replace it by another.
    pub fn watch(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let (sender, events) = channel();
        let mut watcher = notify::recommended_watcher(sender).context("files cannot be watched")?;
        for path in paths {
            let directory = match path.parent() {
                _ if path.is_dir() => path,
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            watcher
                .watch(directory, RecursiveMode::NonRecursive)
                .with_context(|| format!("{}: cannot be watched for changes", directory.display()))?;
        }
        Ok(Self { events, _watcher: watcher })
    }

    /// Waits for the end of a change. `false` when there will be none any more.
    pub fn wait(&self) -> bool {
        loop {
            match self.events.recv() {
                Ok(event) if is_access(&event) => {}
                Ok(_) => break,
                Err(_) => return false,
            }
        }
        let latest = Instant::now() + LONGEST;
        while let Some(left) = latest.checked_duration_since(Instant::now()) {
            match self.events.recv_timeout(QUIET.min(left)) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }
}

/// Our own reading is no change.
fn is_access(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().is_ok_and(|event| event.kind.is_access())
}
