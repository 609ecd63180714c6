//! The command line.

use crate::telemetry::Level;
use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// An OpenAI-compatible endpoint in front of DeepSeek and servers like it: keys hidden, quotas kept, failures survived.
#[derive(Debug, Parser)]
#[command(name = "deepseek-gateway", version, max_term_width = 100, subcommand_required = true)]
pub struct Args {
    /// Where the configuration comes from.
    #[command(subcommand)]
    pub mode: Mode,
}

/// Where the configuration comes from.
#[derive(Debug, Subcommand)]
pub enum Mode {
    /// Serve manifests from files, without a cluster; reloads when they change
    Standalone(Standalone),
    /// Serve what the operator compiled for one DeepSeekGateway (this is what gateway pods run)
    Cluster(Cluster),
}

/// `standalone`.
#[derive(Debug, clap::Args)]
pub struct Standalone {
    /// Files, or directories of `*.yaml`, `*.yml` and `*.json` (not below them), with DeepSeekRoutes,
    /// DeepSeekBackends, DeepSeekConsumers, Secrets and at most one DeepSeekGateway
    #[arg(required = true, value_name = "PATH", value_parser = existing)]
    pub paths: Vec<PathBuf>,
    /// Address of the first listener; port 0 takes any free one [default: 127.0.0.1 and the port of the
    /// DeepSeekGateway, 8080 without one]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Only check the files: print each problem as `path: Kind/namespace/name: field: message` and exit 1 if there
    /// is any
    #[arg(long)]
    pub check: bool,
    /// Settings of the process.
    #[command(flatten)]
    pub process: Process,
}

/// `cluster`.
#[derive(Debug, clap::Args)]
pub struct Cluster {
    /// Name of the DeepSeekGateway to serve
    #[arg(long, value_name = "NAME", env = "GATEWAY_NAME")]
    pub gateway: String,
    /// Its namespace
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Name of the pod it runs in: the one that the operator elects asks providers for the balances of accounts
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub pod: Option<String>,
    /// Keep the last good configuration in this directory and start from it while the API server is away. It holds
    /// keys: use a memory volume
    #[arg(long, value_name = "DIR")]
    pub last_good: Option<PathBuf>,
    /// Settings of the process.
    #[command(flatten)]
    pub process: Process,
}

/// Settings of the process.
#[derive(Debug, clap::Args)]
pub struct Process {
    /// Address of probes, metrics and status; port 0 takes any free one [default: port 15021, on 127.0.0.1 in
    /// standalone mode and on every address in cluster mode]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub admin: Option<SocketAddr>,
    /// Worker threads [default: the CPUs this process may use]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// The zone this process is in, as in the label topology.kubernetes.io/zone: of backends with the same priority
    /// those in it come first [default: no zone comes first]
    #[arg(long, value_name = "ZONE", env = "GATEWAY_ZONE")]
    pub zone: Option<String>,
    /// How much to log [default: the DeepSeekGateway's logLevel]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<Level>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

fn existing(text: &str) -> Result<PathBuf, String> {
    match std::fs::metadata(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("{error}; name a file or a directory with manifests")),
    }
}
