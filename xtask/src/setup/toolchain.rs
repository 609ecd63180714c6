//! Go itself, where the machine has none or one too old to fetch a newer.
//!
//! It comes from the proxy that serves the modules, as the `go` command gets newer versions of itself.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use kubernetes_assets::cache_dir;
use sha2::{Digest as _, Sha256};

use crate::tools::Progress;

/// The version fetched; the modules under `tests/kubernetes/` are content with 1.26.4.
const VERSION: &str = "1.26.8";

/// The SHA-256 of the archive for each of Rust's names for a machine.
const ARCHIVES: [(&str, &str, &str); 2] = [
    ("x86_64", "amd64", "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7"),
    ("aarch64", "arm64", "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99"),
];

/// The `go` command to build with: the machine's own, or one in the cache, fetched when missing.
pub(super) fn go(progress: &Progress) -> anyhow::Result<PathBuf> {
    let cached = cache_dir().join(format!("go-{VERSION}"));
    let candidates = [PathBuf::from("go"), PathBuf::from("/usr/local/go/bin/go"), cached.join("bin/go")];
    if let Some(found) = candidates.into_iter().find(|go| can_fetch_newer(go)) {
        return Ok(found);
    }
    fetch(&cached, progress).with_context(|| {
        format!("failed to get Go {VERSION}: put a Go of 1.21 or newer in PATH, or set KUBEBUILDER_ASSETS")
    })?;
    Ok(cached.join("bin/go"))
}

/// Since 1.21 a Go that is older than a module wants fetches the right one by itself.
fn can_fetch_newer(go: &Path) -> bool {
    let Ok(output) = Command::new(go).args(["env", "GOVERSION"]).current_dir("/").output() else {
        return false;
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().replace("go", "");
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    output.status.success() && (numbers.next(), numbers.next()) >= (Some(1), Some(21))
}

fn fetch(destination: &Path, progress: &Progress) -> anyhow::Result<()> {
    let (_, name, digest) = ARCHIVES
        .iter()
        .find(|(machine, ..)| *machine == env::consts::ARCH)
        .with_context(|| format!("none is known for this kind of machine ({})", env::consts::ARCH))?;
    let unfinished = tempfile::tempdir_in(cache_dir())?;
    let archive = unfinished.path().join("go.zip");
    let version = format!("v0.0.1-go{VERSION}.linux-{name}");
    let url = format!("{}/golang.org/toolchain/@v/{version}.zip", proxy()?);
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--retry", "3", "--output"])
        .arg(&archive)
        .arg(&url);
    progress
        .run(&format!("fetching Go {VERSION} from {}", proxy()?), &mut curl)
        .context("it comes by network (GOPROXY)")?;
    let found: String = Sha256::digest(fs::read(&archive)?)
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    anyhow::ensure!(
        found == *digest,
        "{url} has SHA-256 {found}, not {digest}: it is damaged or not what it says"
    );
    let mut unzip = Command::new("unzip");
    unzip.arg("-q").arg(&archive).arg("-d").arg(unfinished.path());
    progress.run("unpacking it", &mut unzip)?;
    let root = unfinished.path().join("golang.org").join(format!("toolchain@{version}"));
    // Module archives have no permissions: the go command sets them too when it fetches one.
    for folder in [root.join("bin"), root.join(format!("pkg/tool/linux_{name}"))] {
        for entry in fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))? {
            fs::set_permissions(entry?.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    fs::rename(&root, destination).context("failed to move it into place")
}

/// The first module proxy that GOPROXY names.
fn proxy() -> anyhow::Result<String> {
    let list = env::var("GOPROXY").unwrap_or_default();
    let first = list.split([',', '|']).find(|entry| entry.starts_with("http"));
    let first =
        first.context("GOPROXY names no module proxy to fetch Go from: set it, or install Go 1.26")?;
    Ok(first.trim_end_matches('/').to_owned())
}
