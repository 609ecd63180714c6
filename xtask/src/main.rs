//! The commands of README and CI.

mod bench;
mod cargo;
mod cluster;
mod demo;
mod failures;
mod fuzz;
mod http;
mod scale;
mod service;
mod setup;
mod signals;
mod soak;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and shows the DeepSeek gateway.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Bench),
    Demo(demo::Demo),
    Failures(failures::Failures),
    Fuzz(fuzz::Fuzz),
    Scale(scale::Scale),
    Setup(setup::Setup),
    Soak(soak::Soak),
    Test(test::Test),
    #[command(subcommand)]
    Cluster(cluster::Cluster),
}

fn main() -> ExitCode {
    let succeeded = |()| ExitCode::SUCCESS;
    let done = match Arguments::parse().command {
        Command::Bench(bench) => bench.run().map(succeeded),
        Command::Demo(demo) => demo.run().map(succeeded),
        Command::Failures(failures) => failures.run(),
        Command::Fuzz(fuzz) => fuzz.run().map(succeeded),
        Command::Scale(scale) => scale.run().map(succeeded),
        Command::Setup(setup) => setup.run().map(succeeded),
        Command::Soak(soak) => soak.run().map(succeeded),
        Command::Test(test) => test.run(),
        Command::Cluster(cluster) => cluster.run().map(succeeded),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
