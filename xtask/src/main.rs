//! The commands of README and CI.

mod setup;
mod tools;

use clap::{Parser, Subcommand};

/// Builds, tests and shows the DeepSeek gateway.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Setup),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Setup(setup) => setup.run(),
    }
}
