//! `cargo xtask scale`: how the operator keeps up, on a real API server with a real gateway.

use std::process::Command;

use anyhow::Context as _;
use clap::Args;
use kubernetes_assets::Tier;

use crate::{cargo, setup};

/// Apply many routes at once; print how long until all are programmed, the operator's memory and its API writes
#[derive(Args)]
pub(crate) struct Scale {
    /// How many routes
    #[arg(long, default_value_t = 2000)]
    routes: u32,
    /// The Cargo profile to build with
    #[arg(long, default_value = "bench-fast")]
    profile: String,
}

impl Scale {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        setup::prepare(Tier::ControlPlane)?;
        let programs = ["--bin", "scale", "--bin", "deepseek-operator", "--bin", "deepseek-gateway"];
        let built = cargo::build(&[&["--profile", &self.profile], &programs[..]].concat())
            .context("failed to build what is measured")?;
        let mut scale = Command::new(cargo::program(&built, "scale")?);
        let status =
            scale.arg(self.routes.to_string()).status().context("failed to start the measurement")?;
        anyhow::ensure!(status.success(), "the measurement failed");
        Ok(())
    }
}
