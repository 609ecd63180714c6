//! `mock-deepseek`: the fake as a program.

use std::{io::Write, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use mock_deepseek::{Flavor, Mock, Options, Scenario, presets::PRESETS, tls};

/// A faithful DeepSeek for tests and demos, with faults on demand
///
/// It answers the endpoints of api.deepseek.com without a network, deterministically, and can be told to misbehave:
/// for one request (header `x-mock-scenario: NAME` or model `mock/NAME`) or at run time (POST /__mock/scenario).
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Args {
    /// Where to listen; port 0 picks a free one
    #[arg(long, env = "MOCK_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A second address for the admin paths
    #[arg(long, env = "MOCK_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// The name that answers say
    #[arg(long, env = "MOCK_NAME", default_value = "mock")]
    name: String,
    /// The kind of server to play
    #[arg(long, env = "MOCK_FLAVOR", value_enum, default_value_t)]
    flavor: Flavor,
    /// The scenario of requests that choose none, such as `stall` or `status=429&retry_after=2`
    #[arg(long, env = "MOCK_SCENARIO", default_value = "plain", value_parser = parse_scenario)]
    scenario: Scenario,
    /// An accepted API key; repeat for more [default: any `sk-…`]
    #[arg(
        long = "key",
        env = "MOCK_KEYS",
        value_delimiter = ',',
        value_name = "KEY",
        hide_env_values = true
    )]
    keys: Vec<String>,
    /// A served model; repeat for more [default: DeepSeek's, or any in another flavor]
    #[arg(long = "model", env = "MOCK_MODELS", value_delimiter = ',', value_name = "MODEL")]
    models: Vec<String>,
    /// A directory of recorded answers (NAME.json, NAME.chunks.txt, NAME.sse) to answer from
    #[arg(long, env = "MOCK_RECORDED", value_name = "DIR")]
    recorded: Option<PathBuf>,
    /// Speaks TLS with this certificate chain (PEM)
    #[arg(long, env = "MOCK_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, env = "MOCK_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Do not keep requests for GET /__mock/requests
    #[arg(long)]
    no_record: bool,
    /// How many requests to keep
    #[arg(long, default_value_t = 1000, value_name = "N")]
    record_limit: usize,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// List the named scenarios and exit
    #[arg(long)]
    list: bool,
}

const AFTER_HELP: &str = "\
Scenarios: NAME, NAME?FIELD=VALUE&…, FIELD=VALUE&… or a JSON object; `--list` shows the names.
Admin paths: GET /__mock/{health,scenarios,scenario,accounts,stats,requests}, POST /__mock/{scenario,account,reset}";

fn parse_scenario(text: &str) -> Result<Scenario, String> {
    text.parse().map_err(|error: mock_deepseek::InvalidScenario| error.to_string())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.list {
        return list();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.max(1));
    }
    runtime.enable_all().build().context("failed to start the runtime")?.block_on(run(args))
}

fn list() -> anyhow::Result<()> {
    let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for preset in PRESETS {
        writeln!(out, "{:width$}  {}", preset.name, preset.about)?;
        writeln!(out, "{:width$}    {}", "", preset.fields)?;
    }
    Ok(())
}

async fn run(args: Args) -> anyhow::Result<()> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => {
            Some(tls::server_config(cert, key).context("failed to read the certificate or key")?)
        }
        _ => None,
    };
    let options = Options { tls, ..options(args) };
    let listen = options.listen;
    // Before anybody can know that this runs, and so stop it.
    let stopped = stop_signal()?;
    let mock = Mock::start(options).await.with_context(|| format!("failed to start on {listen}"))?;
    // Whoever started this waits for the line, also through a pipe.
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", mock.base_url())?;
    if let Some(admin) = mock.admin_addr() {
        writeln!(out, "admin on http://{admin}/__mock/")?;
    }
    out.flush()?;
    stopped.await;
    mock.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn options(args: Args) -> Options {
    let mut options = match args.flavor {
        Flavor::DeepSeek => Options::named(args.name),
        flavor => Options::flavored(args.name, flavor),
    };
    options.listen = args.listen;
    options.admin = args.admin_listen;
    options.keys = args.keys;
    options.record = !args.no_record;
    options.record_limit = args.record_limit;
    options.scenario = args.scenario;
    if !args.models.is_empty() {
        options.models = args.models;
    }
    if args.recorded.is_some() && options.scenario == Scenario::plain() {
        options.scenario.recorded = Some("auto".into());
    }
    options.recorded = args.recorded;
    options
}

/// SIGTERM or Ctrl-C, heard from this call on.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for Ctrl-C")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
