//! The command line: flags and the environment variables behind them.

use clap::{Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;

/// Turns `DeepSeekRoute`, `DeepSeekBackend`, `DeepSeekConsumer` and `DeepSeekGateway` resources into running gateways.
#[derive(Debug, Parser)]
#[command(name = "deepseek-operator", version, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until it is told to stop.
    Run(Run),
}

/// Settings of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// Namespace the operator runs in: holds the election's Lease, and may reach the gateways' admin port.
    #[arg(long, env = "POD_NAMESPACE", default_value = "deepseek-system")]
    pub namespace: String,

    /// Name of this replica in the election and in Events. Default: the host name and a random suffix.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,

    /// Image of gateways that name none.
    #[arg(long, env = "GATEWAY_IMAGE", default_value = "deepseek-gateway:latest")]
    pub image: String,

    /// Namespaces to watch, separated by commas. Default: all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE,…")]
    pub watch_namespaces: Vec<String>,

    /// Address of `/livez`, `/readyz` and `/metrics`.
    #[arg(long, env = "ADMIN_ADDRESS", default_value = "0.0.0.0:8081")]
    pub admin_address: SocketAddr,

    /// How much to log, as JSON to standard output. `RUST_LOG` takes precedence.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", ignore_case = true)]
    pub log_level: LogLevel,

    /// Elect one replica that writes, by a Lease. Without it this replica always writes: run no more than one then.
    #[arg(
        long,
        env = "LEADER_ELECT",
        default_value_t = true,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub leader_elect: bool,

    /// How many resources are reconciled at the same time.
    #[arg(long, env = "WORKERS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
}

/// How much to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what an operator should look at.
    Warn,
    /// And what changed.
    Info,
    /// And every step.
    Debug,
    /// And every request to the API server.
    Trace,
}

impl LogLevel {
    /// As a filter directive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Run {
    /// The namespaces to watch; empty means all.
    pub fn namespaces(&self) -> Vec<String> {
        self.watch_namespaces.iter().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Run {
        let Command::Run(run) =
            Args::try_parse_from(["deepseek-operator", "run"].iter().chain(args)).unwrap().command;
        run
    }

    #[test]
    fn every_flag_has_a_default_and_lists_are_split_at_commas() {
        assert!(run(&[]).leader_elect);
        assert!(run(&["--leader-elect"]).leader_elect);
        assert!(!run(&["--leader-elect=false"]).leader_elect);
        assert!(run(&[]).namespaces().is_empty());
        assert_eq!(run(&["--watch-namespaces", "a, b,"]).namespaces(), ["a", "b"]);
        assert_eq!(run(&["--log-level", "Debug"]).log_level, LogLevel::Debug);
    }
}
