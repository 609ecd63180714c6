//! `cargo xtask setup`: brings what the tests need, once; a second run only looks.
//!
//! Debian packages, then the Go programs, then the clients' libraries for Python and Node, then cargo-deny; each step is skipped when its result is there.
//! Two runs at once take turns.

mod debian;
pub(crate) mod deny;
mod go;
mod javascript;
mod python;
mod toolchain;

use std::fs::{self, File, TryLockError};

use anyhow::Context as _;
use clap::Args;
use kubernetes_assets::{BENCH_PROGRAMS, DEBIAN_PROGRAMS, GO_MODULES, Tier, brought_along, cache_dir};

use crate::tools::Progress;

/// Bring what the tests need: Debian packages, a Kubernetes built from source, client libraries.
///
/// Run it as root where Debian packages are missing. Builds are kept in ~/.cache/deepseek-gateway. With
/// KUBEBUILDER_ASSETS (a folder of programs) or DEEPSEEK_TESTS_KUBECONFIG (a running cluster) set, nothing is built.
#[derive(Args)]
#[group(multiple = false)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and only one may be given"
)]
pub(crate) struct Setup {
    /// Only what tests without a Kubernetes need
    #[arg(long)]
    unit: bool,
    /// What tests against a Kubernetes API need as well
    #[arg(long)]
    control_plane: bool,
    /// What tests with running pods need as well
    #[arg(long)]
    node: bool,
    /// Everything; the same as --node, and the default
    #[arg(long)]
    all: bool,
}

impl Setup {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { unit, control_plane, node, all } = self;
        let tier = match (unit, control_plane, node || all) {
            (true, ..) => Tier::Unit,
            (_, true, _) => Tier::ControlPlane,
            _ => Tier::Node,
        };
        prepare(tier)
    }
}

/// Brings what tests of `tier` need.
pub(crate) fn prepare(tier: Tier) -> anyhow::Result<()> {
    let progress = Progress::start("setup");
    let _turn = take_turn(&progress)?;
    debian::install(DEBIAN_PROGRAMS.iter().filter(|program| program.tier <= tier), &progress)?;
    match brought_along() {
        Some(variable) => progress.say(&format!("{variable} is set: no Kubernetes is built")),
        None => {
            for module in GO_MODULES.iter().filter(|module| module.tier <= tier) {
                go::build(module, &progress)?;
            }
        }
    }
    if tier >= Tier::ControlPlane {
        python::install(&progress)?;
        javascript::install(&progress)?;
        deny::install(&progress)?;
    }
    progress.say(&format!("ready for {}", tier.flag()));
    Ok(())
}

/// Brings what measurements need, and nothing of Kubernetes.
pub(crate) fn prepare_for_bench() -> anyhow::Result<()> {
    let progress = Progress::start("setup");
    let _turn = take_turn(&progress)?;
    debian::install(BENCH_PROGRAMS.iter(), &progress)
}

/// Waits until no other run is at it; the turn ends when the file is dropped, or with the process.
fn take_turn(progress: &Progress) -> anyhow::Result<File> {
    let cache = cache_dir();
    fs::create_dir_all(&cache).with_context(|| format!("failed to create {}", cache.display()))?;
    let path = cache.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress.say("another setup is running; waiting for it");
            file.lock().context("failed to wait for the other setup")?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context("failed to lock the cache"),
    }
    Ok(file)
}
