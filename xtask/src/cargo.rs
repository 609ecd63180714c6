//! Builds by Cargo, and what came out of them.
//!
//! Every build here selects the whole workspace and only then targets: Cargo unites the features of the packages it
//! selects, and another selection would compile the same dependencies once more with other features.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
pub(crate) use kubernetes_assets::cargo;
use serde::Deserialize;

/// A program that Cargo built.
#[derive(Debug)]
pub(crate) struct Executable {
    /// The folder of its package, as seen from the workspace: `gateway`, `tests/mock-deepseek`.
    pub(crate) package: String,
    pub(crate) target: String,
    /// `lib`, `bin`, `test`.
    pub(crate) kind: String,
    /// Whether it is a program of tests and not the thing itself.
    pub(crate) is_test: bool,
    pub(crate) path: PathBuf,
}

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs `cargo build --workspace` with `arguments`; Cargo's own output goes where ours goes.
pub(crate) fn build(arguments: &[&str]) -> anyhow::Result<Vec<Executable>> {
    build_by(cargo("build"), arguments)
}

/// The same by a `command` that has an environment of its own.
pub(crate) fn build_by(mut command: Command, arguments: &[&str]) -> anyhow::Result<Vec<Executable>> {
    command.args(["--workspace", "--message-format=json-render-diagnostics"]).args(arguments);
    let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut built = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("failed to read what cargo says")?;
        let message: Message = serde_json::from_str(&line).context("cargo says what is not JSON")?;
        built.extend(message.into_executable());
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "`cargo build --workspace {}` failed", arguments.join(" "));
    Ok(built)
}

/// The program `name` among what was built.
pub(crate) fn program(built: &[Executable], name: &str) -> anyhow::Result<PathBuf> {
    let found = built.iter().find(|it| it.kind == "bin" && !it.is_test && it.target == name);
    found.map(|it| it.path.clone()).with_context(|| format!("cargo built no program named {name}"))
}

/// What Cargo says of one step, as far as it is looked at.
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Message {
    fn into_executable(self) -> Option<Executable> {
        let Self { manifest_path, target, profile, executable } = self;
        let (folder, target) = (manifest_path?.parent()?.to_owned(), target?);
        let package = folder.strip_prefix(workspace()).unwrap_or(&folder).display().to_string();
        let kind = target.kind.into_iter().next().unwrap_or_default();
        let is_test = profile.is_some_and(|it| it.test);
        Some(Executable { package, target: target.name, kind, is_test, path: executable? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_told_from_the_program_it_tests() {
        let root = workspace().display();
        let message = |test| {
            let line = format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{root}/gateway/Cargo.toml","fresh":true,
                "target":{{"kind":["bin"],"name":"deepseek-gateway"}},"profile":{{"test":{test}}},"executable":"/x"}}"#
            );
            serde_json::from_str::<Message>(&line).unwrap().into_executable().unwrap()
        };

        let built = [message(true), message(false)];

        assert!(built[0].is_test && !built[1].is_test);
        assert_eq!(built[0].package, "gateway");
        assert_eq!(program(&built, "deepseek-gateway").unwrap(), PathBuf::from("/x"));
        assert!(program(&built[..1], "deepseek-gateway").is_err());
    }

    #[test]
    fn messages_about_anything_else_are_passed_over() {
        let line = r#"{"reason":"build-finished","success":true}"#;
        assert!(serde_json::from_str::<Message>(line).unwrap().into_executable().is_none());
    }
}
