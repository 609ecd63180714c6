//! `cargo xtask fuzz`: what reads bytes of others, fed with bytes that nobody thought of.
//!
//! libFuzzer guided by coverage, on stable Rust: LLVM's coverage pass is run as any other pass, so that neither a nightly
//! compiler nor a sanitizer is needed. Memory errors are not looked for: there is no `unsafe` of ours to make them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;

use crate::{cargo, soak::time, tools::Progress};

/// The feature that brings libFuzzer.
pub(crate) const FEATURE: &str = "deepseek-fuzz/fuzzing";
/// How long `cargo xtask test` runs each target, after the inputs that are there.
const SHORT: Duration = Duration::from_secs(5);

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
        let all = targets(&folder())?;
        if let Some(unknown) = target.iter().find(|name| !all.contains(name)) {
            anyhow::bail!("there is no target named {unknown}: choose from {}", all.join(", "));
        }
        let chosen = if target.is_empty() { all } else { target };
        let progress = Progress::start("fuzz");
        for (name, program) in build(chosen)? {
            let runs = feed(&program, &name, &kept().join("corpus").join(&name), time)?;
            progress.say(&format!("{name}: {runs} runs"));
        }
        Ok(())
    }
}

/// Runs every target for a short time: how many passed, and what is wrong with the others. What earlier runs found is
/// left out, so that each run takes as long as any other.
pub(crate) fn in_short() -> anyhow::Result<(usize, Vec<String>)> {
    let progress = Progress::start("fuzz");
    let (mut passed, mut failures) = (0, Vec::new());
    for (name, program) in build(targets(&folder())?)? {
        let grown = tempfile::tempdir().context("failed to create a folder")?;
        match feed(&program, &name, grown.path(), SHORT) {
            Ok(runs) => {
                progress.say(&format!("{name}: {runs} runs"));
                passed += 1;
            }
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    Ok((passed, failures))
}

/// The programs of these targets. Only our own crates are compiled by the compiler with the coverage pass: what they
/// depend on is what any other build of the tests has made.
fn build(targets: Vec<String>) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut command = cargo::cargo("build");
    command.env("RUSTC_WORKSPACE_WRAPPER", cargo::workspace().join("fuzz/instrumented"));
    let mut arguments = vec!["--features", FEATURE];
    arguments.extend(targets.iter().flat_map(|name| ["--example", name]));
    let built = cargo::build_by(command, &arguments)?;
    let program = |name: String| {
        let found = built.iter().find(|it| it.package == "fuzz" && it.target == name);
        let path = found.with_context(|| format!("cargo built no {name}"))?.path.clone();
        Ok((name, path))
    };
    targets.into_iter().map(program).collect()
}

/// Runs one target for `time`, and says how many inputs it was given. New ones that reach more are put into `grown`;
/// libFuzzer says where the input of a crash is.
fn feed(program: &Path, name: &str, grown: &Path, time: Duration) -> anyhow::Result<u64> {
    let crashes = kept().join("crashes").join(name);
    for made in [grown, &crashes] {
        fs::create_dir_all(made).with_context(|| format!("failed to create {}", made.display()))?;
    }
    let fuzz = cargo::workspace().join("fuzz");
    let mut run = Command::new(program);
    run.arg(grown).arg(fuzz.join("corpus").join(name));
    run.arg(format!("-dict={}", fuzz.join("words").display()));
    run.arg(format!("-artifact_prefix={}/", crashes.display()));
    run.arg(format!("-max_total_time={}", time.as_secs()));
    run.args(["-rss_limit_mb=1024", "-timeout=10", "-max_len=4096", "-verbosity=0", "-print_final_stats=1"]);
    let output = run.output().with_context(|| format!("failed to start {}", program.display()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{told}");
        anyhow::bail!("{name} fails; the input is in {}", crashes.display());
    }
    runs(&told).with_context(|| format!("{name} does not say how often it ran"))
}

/// How many inputs were given, by what libFuzzer says at its end.
fn runs(told: &str) -> Option<u64> {
    let number = told.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    number.trim().parse().ok()
}

/// Where inputs are kept that were found.
fn kept() -> PathBuf {
    cargo::workspace().join("target/fuzz")
}

fn folder() -> PathBuf {
    cargo::workspace().join("fuzz/fuzz_targets")
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
        let targets = targets(&folder()).unwrap();
        assert!(targets.len() >= 5, "{targets:?}");
        for target in targets {
            let corpus = cargo::workspace().join("fuzz/corpus").join(&target);
            assert!(fs::read_dir(corpus).unwrap().count() > 0, "{target}");
        }
    }

    #[test]
    fn runs_are_read_from_what_libfuzzer_says() {
        assert_eq!(
            runs("stat::number_of_executed_units: 4711\nstat::new_units_added:         3\n"),
            Some(4711)
        );
        assert_eq!(runs("Done 4711 runs in 5 second(s)"), None);
    }
}
