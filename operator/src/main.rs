//! Operator: reconciles DeepSeek custom resources into gateways and their configuration.
//!
//! [`run`] is the composition root; [`reconcile`] is the spine each resource goes through; [`cluster`] is what is known,
//! fed by [`watch`]. `docs/adr/0007-operator-index-and-queue.md` says why it is not one `Controller` a kind.

mod access;
mod admin;
mod args;
mod backoff;
mod cluster;
mod context;
mod error;
mod events;
mod gateway;
mod leader;
mod metrics;
mod poll;
mod queue;
mod reconcile;
mod run;
mod status;
mod telemetry;
mod watch;
mod worker;
mod write;

use args::{Args, Command};
use clap::Parser as _;
use std::process::ExitCode;

// Lists of thousands of objects come and go: the system's allocator would keep their memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Run(args) = Args::parse().command;
    match start(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator ends");
            ExitCode::FAILURE
        }
    }
}

async fn start(args: args::Run) -> anyhow::Result<()> {
    telemetry::init(args.log_level)?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
    run::run(args).await
}
