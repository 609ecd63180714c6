//! Which tiers there are, and the steps that running some of them takes.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context as _;
use kubernetes_assets::Tier as Needs;

use crate::cargo::workspace;

/// The package whose test programs are tiers.
pub(super) const PACKAGE: &str = "tests";

/// The programs in `tests/tests/`, in the order in which they are run, with what they need. One that is not here comes
/// last, and is thought to need everything.
const KNOWN: [(&str, Needs); 7] = [
    ("examples", Needs::Unit),
    ("gateway", Needs::Unit),
    ("failures", Needs::Unit),
    ("charts", Needs::ControlPlane),
    ("control_plane", Needs::ControlPlane),
    ("node", Needs::Node),
    ("clients", Needs::ControlPlane),
];

/// A part of the tests that can be asked for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// Whether the code is formatted.
    Format,
    /// The tests of each package itself.
    Unit,
    /// Whether clippy is content.
    Lint,
    /// Whether cargo-deny is content with what is built in.
    Deny,
    /// What reads bytes of others, with bytes that nobody thought of. It builds its programs itself, in its own way.
    Fuzz,
    /// A program in `tests/tests/`.
    Program { name: String, needs: Needs },
}

impl Tier {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Format => "format",
            Self::Unit => "unit",
            Self::Lint => "lint",
            Self::Deny => "deny",
            Self::Fuzz => "fuzz",
            Self::Program { name, .. } => name,
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Self::Format | Self::Unit | Self::Lint | Self::Fuzz => Needs::Unit,
            Self::Deny => Needs::ControlPlane,
            Self::Program { needs, .. } => *needs,
        }
    }

    /// Whether it runs what the step before the tiers builds.
    pub(super) fn is_built(&self) -> bool {
        matches!(self, Self::Unit | Self::Program { .. })
    }

    /// Whether it belongs to the quick ones.
    fn is_quick(&self) -> bool {
        match self {
            Self::Program { name, .. } => name == "examples",
            Self::Format | Self::Unit | Self::Lint => true,
            Self::Deny | Self::Fuzz => false,
        }
    }
}

/// Something to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Setup(Needs),
    /// Arguments for Cargo.
    Build(Vec<String>),
    Tier(Tier),
}

impl Step {
    pub(super) fn title(&self) -> &str {
        match self {
            Self::Setup(_) => "setup",
            Self::Build(_) => "build",
            Self::Tier(tier) => tier.name(),
        }
    }
}

/// Every tier there is, in order.
pub(super) fn tiers() -> anyhow::Result<Vec<Tier>> {
    let folder = workspace().join(PACKAGE).join("tests");
    let entries = fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let found: BTreeSet<String> = entries.filter_map(|entry| program_name(&entry.ok()?.path())).collect();
    Ok(in_order(found))
}

/// A test program is a file, or a folder with a `main.rs`.
fn program_name(path: &Path) -> Option<String> {
    let is_program = path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").is_file();
    is_program.then(|| Some(path.file_stem()?.to_str()?.to_owned()))?
}

fn in_order(mut found: BTreeSet<String>) -> Vec<Tier> {
    let known = KNOWN.iter().filter_map(|(name, needs)| Some((found.take(*name)?, *needs)));
    let known: Vec<_> = known.collect();
    let others = found.into_iter().map(|name| (name, Needs::Node));
    let programs = known.into_iter().chain(others).map(|(name, needs)| Tier::Program { name, needs });
    [Tier::Format, Tier::Unit, Tier::Lint, Tier::Deny, Tier::Fuzz].into_iter().chain(programs).collect()
}

/// The tiers that were asked for: the quick ones, those with these names, or all.
pub(super) fn choose(all: Vec<Tier>, quick: bool, names: &[String]) -> anyhow::Result<Vec<Tier>> {
    let names: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|tier| tier.name() != *name)) {
        let known: Vec<_> = all.iter().map(Tier::name).collect();
        anyhow::bail!("there is no tier named {unknown}: choose from {}", known.join(", "));
    }
    let is_wanted = |tier: &Tier| {
        if quick { tier.is_quick() } else { names.is_empty() || names.contains(&tier.name().to_owned()) }
    };
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// What running `tiers` takes.
pub(super) fn steps(tiers: &[Tier]) -> Vec<Step> {
    let needs = tiers.iter().map(Tier::needs).max().unwrap_or(Needs::Unit);
    let mut steps = vec![Step::Setup(needs)];
    let (format, others): (Vec<_>, Vec<_>) = tiers.iter().cloned().partition(|tier| *tier == Tier::Format);
    steps.extend(format.into_iter().map(Step::Tier));
    if others.iter().any(Tier::is_built) {
        steps.push(Step::Build(targets(&others)));
    }
    steps.extend(others.into_iter().map(Step::Tier));
    steps
}

/// Cargo's arguments for the programs that `tiers` run, and those that these test.
fn targets(tiers: &[Tier]) -> Vec<String> {
    if tiers.contains(&Tier::Unit) {
        return vec!["--all-targets".to_owned()];
    }
    let mut arguments = vec!["--bins".to_owned()];
    for tier in tiers {
        if let Tier::Program { name, .. } = tier {
            arguments.extend(["--test".to_owned(), name.clone()]);
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Tier> {
        in_order(["node", "anew", "charts", "failures", "examples"].map(str::to_owned).into())
    }

    fn names(tiers: &[Tier]) -> Vec<&str> {
        tiers.iter().map(Tier::name).collect()
    }

    #[test]
    fn a_program_that_nobody_named_is_run_as_well() {
        assert_eq!(
            names(&all()),
            ["format", "unit", "lint", "deny", "fuzz", "examples", "failures", "charts", "node", "anew"]
        );
    }

    #[test]
    fn the_quick_tiers_need_no_kubernetes() {
        let quick = choose(all(), true, &[]).unwrap();

        assert_eq!(names(&quick), ["format", "unit", "lint", "examples"]);
        assert_eq!(steps(&quick)[0], Step::Setup(Needs::Unit));
    }

    #[test]
    fn a_tier_that_does_not_exist_is_refused_with_those_that_do() {
        let error = choose(all(), false, &["chart".to_owned()]).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "choose from format, unit, lint, deny, fuzz, examples, failures, charts, node, anew"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_single_tier_builds_its_own_program_only() {
        let chosen = choose(all(), false, &["charts".to_owned()]).unwrap();
        let steps = steps(&chosen);

        let arguments = ["--bins", "--test", "charts"].map(str::to_owned).to_vec();
        assert_eq!(steps[..2], [Step::Setup(Needs::ControlPlane), Step::Build(arguments)]);
    }

    #[test]
    fn checks_and_fuzzing_alone_build_no_tests() {
        let chosen = choose(all(), false, &["lint", "format", "fuzz"].map(str::to_owned)).unwrap();
        let steps = steps(&chosen);

        assert_eq!(steps.len(), 4);
        assert!(!steps.iter().any(|step| matches!(step, Step::Build(_))), "{steps:?}");
    }
}
