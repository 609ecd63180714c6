//! `cargo xtask failures`: what is known to go wrong, played against the gateway.

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Args;

use crate::cargo;

/// Play every known failure against the gateway; print what the client saw, what the backends received, and whether it
/// passes
#[derive(Args)]
pub(crate) struct Failures {
    /// Only this one, such as F7; may be given several times
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Write the table into docs/failures.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

impl Failures {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let built = cargo::build(&["--bin", "failures", "--bin", "deepseek-gateway"])
            .context("failed to build what is played")?;
        let mut failures = Command::new(cargo::program(&built, "failures")?);
        for case in self.only {
            failures.args(["--only", &case]);
        }
        if self.write {
            failures.arg("--write").arg(cargo::workspace().join("docs/failures.md"));
        }
        let status = failures.status().context("failed to start the cases")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
