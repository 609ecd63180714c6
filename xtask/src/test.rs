//! `cargo xtask test`: brings what the tests need, builds once, runs every tier in order, and says in one line what came
//! of it.
//!
//! Tests of the packages themselves and the checks come first; then each program in `tests/tests/` is a tier of its
//! own, so that a new file there is run without being named here.

mod libtest;
mod plan;

use std::{
    iter,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use clap::Args;
use kubernetes_assets::Tier as Needs;

use crate::{
    cargo::{self, Executable},
    fuzz, setup,
};
use libtest::Outcome;
use plan::{Step, Tier};

/// Run the tests: all of them, or some.
///
/// Brings what they need first (see `cargo xtask setup`), builds everything once, and runs the tiers in order. The last
/// line says `N passed, N failed`; a check counts as one. Stops after the first tier with a failure.
///
/// Tiers: format, unit, lint, deny, fuzz, then the programs in tests/tests: examples, gateway, failures, charts,
/// control_plane, node, clients. The charts need helm, control_plane a Kubernetes API, node root and Debian.
#[derive(Args)]
pub(crate) struct Test {
    /// Only the tiers that need nothing but Rust: format, unit, lint, examples
    #[arg(long, conflicts_with = "tier")]
    unit: bool,
    /// Only this tier; repeat for more
    #[arg(long, value_name = "NAME")]
    tier: Vec<String>,
    /// Go on after a tier that failed
    #[arg(long)]
    keep_going: bool,
    /// Handed on to the test programs: part of a test's name, or an option such as --nocapture
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

impl Test {
    /// Runs what was asked for. What fails is told in the summary, not as an error: its line is the last.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { unit, tier, keep_going, arguments } = self;
        let tiers = plan::choose(plan::tiers()?, unit, &tier)?;
        let mut run = Run { start: Instant::now(), keep_going, done: Vec::new(), built: Vec::new() };
        for step in plan::steps(&tiers) {
            if run.has_failed() && !(keep_going && run.can_do(&step)) {
                run.done.push(Done { step, ran: None });
                continue;
            }
            run.execute(step, &arguments);
        }
        Ok(run.summarise())
    }
}

/// What was done so far.
struct Run {
    start: Instant,
    keep_going: bool,
    done: Vec<Done>,
    built: Vec<Executable>,
}

/// A step, and what came of it; nothing, if it was not run.
struct Done {
    step: Step,
    ran: Option<(Outcome, Duration)>,
}

impl Run {
    fn has_failed(&self) -> bool {
        self.done.iter().any(|done| done.ran.as_ref().is_none_or(|(outcome, _)| outcome.failed > 0))
    }

    /// Whether a step makes sense after a failure: tests without programs do not.
    fn can_do(&self, step: &Step) -> bool {
        match step {
            Step::Tier(tier) => !tier.is_built() || !self.built.is_empty(),
            Step::Setup(_) | Step::Build(_) => true,
        }
    }

    fn execute(&mut self, step: Step, arguments: &[String]) {
        let title = step.title();
        let rule = "─".repeat(60_usize.saturating_sub(title.chars().count()));
        println!("\n── {title} {rule} {}", seconds(self.start.elapsed()));
        let begin = Instant::now();
        let result = match &step {
            Step::Setup(needs) => setup::prepare(*needs).map(|()| Outcome::default()),
            Step::Build(arguments) => self.build(arguments),
            Step::Tier(Tier::Format) => check(cargo::cargo("fmt").args(["--all", "--check"])),
            Step::Tier(Tier::Lint) => {
                let mut clippy = cargo::cargo("clippy");
                clippy.args(["--quiet", "--workspace", "--all-targets", "--features", fuzz::FEATURE]);
                clippy.args(["--", "-D", "warnings"]);
                check(&mut clippy)
            }
            Step::Tier(Tier::Deny) => {
                let mut deny = Command::new(setup::deny::program());
                // Advisories are published elsewhere, and change without us.
                deny.args(["--log-level", "error", "--locked", "check", "licenses", "bans", "sources"]);
                check(deny.current_dir(cargo::workspace()))
            }
            Step::Tier(Tier::Fuzz) => fuzz::in_short().map(|(passed, failures)| {
                let failed = failures.len();
                Outcome { passed, failed, ignored: 0, failures }
            }),
            Step::Tier(Tier::Unit) => self.run_programs(arguments, |it| !it.is_tier()),
            Step::Tier(Tier::Program { name, needs }) => {
                let ready = if *needs == Needs::Node { build_for_images() } else { Ok(()) };
                ready.and_then(|()| self.run_programs(arguments, |it| it.is_tier() && it.target == *name))
            }
        };
        let outcome = result.unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome::failure(format!("{error}"))
        });
        self.done.push(Done { step, ran: Some((outcome, begin.elapsed())) });
    }

    fn build(&mut self, arguments: &[String]) -> anyhow::Result<Outcome> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.built = cargo::build(&arguments)?;
        Ok(Outcome::default())
    }

    /// Runs the test programs that `chosen` picks, each in the folder of its package, as `cargo test` does.
    fn run_programs(
        &self,
        arguments: &[String],
        chosen: impl Fn(&Executable) -> bool,
    ) -> anyhow::Result<Outcome> {
        let mut total = Outcome::default();
        for program in self.built.iter().filter(|it| it.is_test && chosen(it)) {
            let Executable { package, target, kind, path, .. } = program;
            let folder = cargo::workspace().join(package);
            let mut command = Command::new(path);
            command.args(arguments).current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder);
            let outcome = libtest::run(&format!("{package} ({kind} {target})"), &mut command)?;
            let failed = outcome.failed > 0;
            total.add(outcome);
            if failed && !self.keep_going {
                break;
            }
        }
        Ok(total)
    }

    /// Prints what came of each step, what failed, and the line that everything ends with.
    fn summarise(self) -> ExitCode {
        println!("\n── summary {} {}", "─".repeat(53), seconds(self.start.elapsed()));
        let failed = self.has_failed();
        let mut total = Outcome::default();
        for Done { step, ran } in self.done {
            let title = step.title();
            let Some((outcome, took)) = ran else {
                println!("{title:<15} not run");
                continue;
            };
            let Outcome { passed, failed, ignored, ref failures } = outcome;
            let text = match step {
                Step::Tier(_) if ignored > 0 => {
                    format!("{passed} passed, {failed} failed, {ignored} IGNORED")
                }
                Step::Tier(_) => format!("{passed} passed, {failed} failed"),
                Step::Setup(_) | Step::Build(_) if failed == 0 => "done".to_owned(),
                Step::Setup(_) | Step::Build(_) => "failed".to_owned(),
            };
            println!("{title:<15} {text:<30} {}", seconds(took));
            for failure in failures {
                println!("{:15} failed: {failure}", "");
            }
            total.add(outcome);
        }
        println!("{} passed, {} failed", total.passed, total.failed);
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

impl Executable {
    /// Whether it is one of the programs in `tests/tests/`.
    fn is_tier(&self) -> bool {
        self.package == plan::PACKAGE && self.kind == "test"
    }
}

/// Runs a check, which passes or fails as a whole.
fn check(command: &mut Command) -> anyhow::Result<Outcome> {
    let passed = command.status()?.success();
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let line: Vec<_> = iter::once(program).chain(command.get_args()).map(|it| it.to_string_lossy()).collect();
    Ok(if passed { Outcome::pass() } else { Outcome::failure(line.join(" ")) })
}

/// Builds what the images of the node tests hold, as those tests do themselves: here one sees it happen.
fn build_for_images() -> anyhow::Result<()> {
    let status = kubernetes_assets::static_build("dev").0.status()?;
    anyhow::ensure!(status.success(), "failed to build the static programs for the images");
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:6.1} s", time.as_secs_f32())
}
