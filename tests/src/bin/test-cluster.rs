//! The test node, kept running for a person; `cargo xtask cluster` starts and stops it.

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::Parser;
use deepseek_tests::kubernetes::{Node, image, load_image_into};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a one-node Kubernetes until it is told to end, or loads images into a running one
#[derive(Parser)]
enum Arguments {
    /// Boot a node, write what others need to know to STATE, print it as one line, run until SIGTERM or SIGINT
    Run { state: PathBuf },
    /// Build the images of this repository and load them into the node whose first process is INIT
    Load { init: u32, profile: String },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Run { state } => run(state).await,
        Arguments::Load { init, profile } => load(init, &profile).await,
    }
}

async fn run(state: PathBuf) -> anyhow::Result<()> {
    // Before the node: a signal during its boot must end it in order, too.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ended = async {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    tokio::pin!(ended);
    let node = tokio::select! {
        node = Node::boot() => node?,
        () = &mut ended => return Ok(()),
    };
    let known = json!({"pid": std::process::id(), "init": node.init(), "kubeconfig": node.kubeconfig()});
    fs::write(&state, known.to_string()).with_context(|| format!("failed to write {}", state.display()))?;
    writeln!(std::io::stdout(), "{known}")?;
    ended.await;
    drop(node);
    fs::remove_file(&state).with_context(|| format!("failed to remove {}", state.display()))
}

async fn load(init: u32, profile: &str) -> anyhow::Result<()> {
    let images = [
        image::product("localhost/deepseek-gateway:dev", profile).await?,
        image::mock_deepseek("localhost/mock-deepseek:dev", profile).await?,
    ];
    for image in images {
        load_image_into(init, image.archive()).await?;
        println!("{}", image.name);
    }
    Ok(())
}
