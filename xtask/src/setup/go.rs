//! The programs built from the Go modules under `tests/kubernetes/`.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::Context as _;
use kubernetes_assets::{GoModule, cache_dir};

use super::toolchain;
use crate::tools::Progress;

/// Builds `module` unless the cache has it: in a folder beside, moved into place when it is complete.
pub(super) fn build(module: &GoModule, progress: &Progress) -> anyhow::Result<()> {
    if module.is_built() {
        return Ok(());
    }
    let go = toolchain::go(progress)?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kubernetes").join(module.name);
    let unfinished = cache_dir().join(format!("{}.unfinished", module.name));
    let bin = unfinished.join("bin");
    // What a run left that was interrupted.
    for leftover in [&unfinished, &module.dir()] {
        if leftover.exists() {
            fs::remove_dir_all(leftover)
                .with_context(|| format!("failed to remove {}", leftover.display()))?;
        }
    }
    fs::create_dir_all(&bin).with_context(|| format!("failed to create {}", bin.display()))?;
    let Some((first, others)) = module.programs.split_first() else { return Ok(()) };
    let mut command = Command::new(&go);
    command.current_dir(&sources).args(["build", "-trimpath", "-ldflags", module.linker_flags]);
    command.arg("-o").arg(bin.join(first)).arg(module.package);
    command.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly -buildvcs=false").env("GOWORK", "off");
    // An older Go fetches the one that the module asks for.
    command.env("GOTOOLCHAIN", "auto");
    let what = format!("building {} (cold, on two cores: about {} minutes)", module.name, module.minutes);
    progress.run(&what, &mut command).with_context(|| {
        format!(
            "failed to build {}; Go modules come from the network (GOPROXY): without one, set KUBEBUILDER_ASSETS \
             to a folder with {}",
            module.name,
            module.programs.join(", ")
        )
    })?;
    for other in others {
        symlink(first, bin.join(other)).with_context(|| format!("failed to link {other}"))?;
    }
    fs::rename(&unfinished, module.dir())
        .with_context(|| format!("failed to move {} into place", module.name))
}
