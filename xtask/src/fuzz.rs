//! `cargo xtask fuzz`: what reads bytes of others, fed with bytes that nobody thought of.
//!
//! libFuzzer guided by coverage, on stable Rust: LLVM's coverage pass is run as any other pass, so that neither a nightly
//! compiler nor a sanitizer is needed. Memory errors are not looked for: there is no `unsafe` of ours to make them.

use std::{env, fs, path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use clap::Args;

use crate::{cargo, soak::time, tools::Progress};

/// What `cargo fuzz` gives the compiler, less the sanitizer.
const INSTRUMENTED: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                            -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Feed the readers of foreign bytes with inputs that nobody thought of; needs a C++ compiler
///
/// Inputs grow from fuzz/corpus; new ones are kept under target/fuzz. Exits with 1 at the first crash, and prints where
/// its input is.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Only this target: the name of a file in fuzz/fuzz_targets; repeat for more
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// How long each target is run: seconds, or a number with `s`, `m` or `h`
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = time)]
    time: Duration,
}

impl Fuzz {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { target, time } = self;
        let root = cargo::workspace();
        let all = targets(&root.join("fuzz/fuzz_targets"))?;
        if let Some(unknown) = target.iter().find(|name| !all.contains(name)) {
            anyhow::bail!("there is no target named {unknown}: choose from {}", all.join(", "));
        }
        let chosen = if target.is_empty() { all } else { target };
        let progress = Progress::start("fuzz");
        let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let folder = root.join("target/fuzz");
        let mut build = cargo::cargo("build");
        build.args(["--manifest-path", "fuzz/Cargo.toml", "--profile", "fuzz", "--target", &triple]);
        build.arg("--target-dir").arg(&folder).env("RUSTFLAGS", INSTRUMENTED);
        build.args(chosen.iter().flat_map(|name| ["--bin", name]));
        progress.run("building the targets", &mut build)?;
        for name in &chosen {
            progress.say(&format!("{name}, {} s", time.as_secs()));
            let program = folder.join(&triple).join("fuzz").join(name);
            feed(&program, name, &folder, time)?;
        }
        Ok(())
    }
}

/// Runs one target; libFuzzer says where the input of a crash is.
fn feed(program: &Path, name: &str, folder: &Path, time: Duration) -> anyhow::Result<()> {
    let (grown, crashes) = (folder.join("corpus").join(name), folder.join("crashes").join(name));
    for made in [&grown, &crashes] {
        fs::create_dir_all(made).with_context(|| format!("failed to create {}", made.display()))?;
    }
    let mut run = Command::new(program);
    run.arg(grown).arg(cargo::workspace().join("fuzz/corpus").join(name));
    run.arg(format!("-artifact_prefix={}/", crashes.display()));
    run.arg(format!("-max_total_time={}", time.as_secs()));
    run.args(["-rss_limit_mb=1024", "-timeout=10", "-max_len=4096", "-verbosity=0"]);
    let status = run.status().with_context(|| format!("failed to start {}", program.display()))?;
    anyhow::ensure!(status.success(), "{name} fails; the input is in {}", crashes.display());
    Ok(())
}

fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let files = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let name = |file: fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
    let mut targets: Vec<String> = files.filter_map(|file| name(file.ok()?)).collect();
    targets.sort();
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_inputs_to_begin_with() {
        let fuzz = cargo::workspace().join("fuzz");
        let targets = targets(&fuzz.join("fuzz_targets")).unwrap();
        assert!(targets.len() >= 5, "{targets:?}");
        for target in targets {
            assert!(fs::read_dir(fuzz.join("corpus").join(&target)).unwrap().count() > 0, "{target}");
        }
    }
}
