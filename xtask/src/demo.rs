//! `cargo xtask demo`: the quickstart at work, on this machine or on a Kubernetes of its own.

mod kubernetes;
mod page;
mod quickstart;

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::{cargo, http, service::Service, signals::Asked, tools::Progress};
use quickstart::Quickstart;

/// Show the gateway at work, until Ctrl-C: no account and no cluster needed.
///
/// Builds the gateway and a fake DeepSeek, serves the manifests of examples/quickstart with keys made up for this run,
/// and prints what to paste into a shell or an OpenAI client. Everything it starts ends with it.
#[derive(Args)]
pub(crate) struct Demo {
    /// The same on a real one-node Kubernetes that is started for it: charts, operator, gateway pods.
    /// Needs root and Debian; the first time, Kubernetes is built (about 10 minutes)
    #[arg(long)]
    kubernetes: bool,
    /// Port of the endpoint [default: any free one]
    #[arg(
        long,
        value_name = "PORT",
        conflicts_with = "kubernetes",
        default_value_t = 0,
        hide_default_value = true
    )]
    port: u16,
    /// Let the fake DeepSeek answer from recordings: a folder of NAME.json and NAME.chunks.txt
    #[arg(long, value_name = "DIR", conflicts_with = "kubernetes")]
    recorded: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { kubernetes, port, recorded } = self;
        if kubernetes { kubernetes::run() } else { embedded(port, recorded) }
    }
}

fn embedded(port: u16, recorded: Option<PathBuf>) -> anyhow::Result<()> {
    let progress = Progress::start("demo");
    progress.say("building the gateway and a fake DeepSeek");
    let built = cargo::build(&["--bin", "deepseek-gateway", "--bin", "mock-deepseek"])?;

    let asked = Asked::listen()?;
    let folder = tempfile::Builder::new().prefix("deepseek-demo-").tempdir()?;
    progress.say("starting them");
    let mut command = Command::new(cargo::program(&built, "mock-deepseek")?);
    command.args(["--name", "fake-deepseek"]);
    if let Some(recorded) = recorded {
        let recorded = recorded
            .canonicalize()
            .with_context(|| format!("--recorded: there is no folder {}", recorded.display()))?;
        command.arg("--recorded").arg(recorded);
    }
    let (mut fake, [upstream]) =
        Service::start("mock-deepseek", &mut command, folder.path(), ["listening on "])?;
    let quickstart = Quickstart::read(&upstream)?;
    let manifests = folder.path().join("manifests");
    quickstart.write(&manifests)?;
    let mut command = Command::new(cargo::program(&built, "deepseek-gateway")?);
    command.arg("standalone").arg(&manifests).args(["--admin", "127.0.0.1:0", "--listen"]);
    command.arg(SocketAddr::from(([127, 0, 0, 1], port)).to_string());
    let (mut gateway, [endpoint, admin]) =
        Service::start("deepseek-gateway", &mut command, folder.path(), ["listening on ", "admin on "])?;

    let Quickstart { model, api_key, .. } = &quickstart;
    let question = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
    let (status, answer) = http::post(&format!("{endpoint}/v1/chat/completions"), api_key, &question)?;
    anyhow::ensure!(status == 200, "the first request was answered with {status}: {answer}");
    let answer: Value = serde_json::from_str(&answer).context("the first answer is not JSON")?;
    let answer = &answer["choices"][0]["message"]["content"];
    let report = http::get(&format!("{admin}/status"))?;

    println!("\n{}The model says: {answer}\n", page::table(&quickstart, &report)?);
    println!("{}", page::how_to_call(&format!("{endpoint}/v1"), model, api_key));
    println!("manifests and logs: {}", folder.path().display());
    progress.say("running; Ctrl-C ends it");
    while !asked.within(Duration::from_millis(200)) {
        gateway.check()?;
        fake.check()?;
    }
    progress.say("stopping");
    let left = gateway.stop()?;
    anyhow::ensure!(left.success(), "the gateway ended with {left}");
    fake.stop()?;
    folder.close().context("failed to remove the demo's folder")
}
