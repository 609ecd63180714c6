//! `cargo xtask cluster`: the test node, kept running for a person.
//!
//! The node itself is the test harness's, in a process of its own; a file in the cache says which.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Subcommand;
use kubernetes_assets::{Tier, cache_dir, program};
use serde::Deserialize;

use crate::{cargo, setup, tools::Progress};

const END_DEADLINE: Duration = Duration::from_secs(30);

/// Keep a one-node Kubernetes running on this machine: real pods, Services, metrics. Needs root
#[derive(Subcommand)]
pub(crate) enum Cluster {
    /// Start it, and print how to reach it
    Up,
    /// Build this repository's images and load them: localhost/deepseek-gateway:dev and localhost/mock-deepseek:dev
    Load {
        /// The Cargo profile to build with
        #[arg(long, default_value = "bench-fast")]
        profile: String,
    },
    /// Run kubectl on it
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run helm on it
    Helm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Stop it and remove everything it made
    Down,
}

/// What the node's process says of itself.
#[derive(Deserialize)]
struct State {
    pid: u32,
    init: u32,
    kubeconfig: PathBuf,
}

impl Cluster {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Up => up(),
            Self::Load { profile } => {
                let init = running()?.init.to_string();
                let status = harness()?
                    .args(["load", &init, &profile])
                    .status()
                    .context("failed to start the harness")?;
                anyhow::ensure!(status.success(), "the images were not loaded");
                Ok(())
            }
            Self::Kubectl { arguments } => become_program("kubectl", &arguments),
            Self::Helm { arguments } => become_program("helm", &arguments),
            Self::Down => down(),
        }
    }
}

fn up() -> anyhow::Result<()> {
    if let Ok(state) = running() {
        say_how_to_reach(&state);
        return Ok(());
    }
    setup::prepare(Tier::Node)?;
    let progress = Progress::start("cluster");
    progress.say("building the test harness");
    let mut command = harness()?;
    progress.say("booting a node");
    let log = cache_dir().join("cluster.log");
    let output = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
    command.arg("run").arg(state_file()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(output);
    // It outlives this command, and Ctrl-C in this terminal is not meant for it.
    let mut child = command.process_group(0).spawn().context("failed to start the harness")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output of the harness")?).read_line(&mut line)?;
    if line.is_empty() {
        child.wait()?;
        anyhow::bail!("the node did not boot:\n{}", fs::read_to_string(&log).unwrap_or_default());
    }
    progress.say("ready; stop it with `cargo xtask cluster down`");
    say_how_to_reach(&serde_json::from_str(&line).context("the harness said something else than its state")?);
    Ok(())
}

fn down() -> anyhow::Result<()> {
    let Ok(State { pid, .. }) = running() else {
        println!("no cluster is running");
        return Ok(());
    };
    let status = Command::new("kill").arg(pid.to_string()).status().context("failed to run kill")?;
    anyhow::ensure!(status.success(), "failed to signal the node's process {pid}");
    let start = Instant::now();
    while state_file().exists() {
        anyhow::ensure!(start.elapsed() < END_DEADLINE, "process {pid} did not end within {END_DEADLINE:?}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn become_program(name: &str, arguments: &[OsString]) -> anyhow::Result<()> {
    let error = Command::new(program(name)?).args(arguments).env("KUBECONFIG", running()?.kubeconfig).exec();
    Err(error).with_context(|| format!("failed to start {name}"))
}

fn say_how_to_reach(state: &State) {
    println!("export KUBECONFIG={}", state.kubeconfig.display());
}

/// The running node; a file left by one that was killed is removed.
fn running() -> anyhow::Result<State> {
    let none = "no cluster is running: start it with `cargo xtask cluster up`";
    let Ok(state) = fs::read(state_file()) else { anyhow::bail!(none) };
    let state: State = serde_json::from_slice(&state).context("failed to parse the node's state file")?;
    if !Path::new("/proc").join(state.pid.to_string()).exists() {
        fs::remove_file(state_file())?;
        anyhow::bail!(none);
    }
    Ok(state)
}

fn state_file() -> PathBuf {
    cache_dir().join("cluster.json")
}

/// Builds the test harness's own program, and returns a command that runs it.
fn harness() -> anyhow::Result<Command> {
    let built = cargo::build(&["--bin", "test-cluster"]).context("failed to build the test harness")?;
    Ok(Command::new(cargo::program(&built, "test-cluster")?))
}
