//! The composition root: every part is made and joined to the others here, and nowhere else.

use crate::admin::{self, Admin};
use crate::args::{Args, Cluster, Mode, Process, Standalone};
use crate::config::keys::Secret;
use crate::config::last_good::LastGood;
use crate::config::metrics::ConfigMetrics;
use crate::config::store::{Change, Store};
use crate::config::worker::{Inbox, Join, Worker};
use crate::config::{cluster, standalone};
use crate::drain::{Drain, Outcome, Pace};
use crate::listeners::{Bind, Listeners, Listening, everywhere};
use crate::observe::{follow_health, observe};
use crate::pipeline::Context;
use crate::pipeline::cache::CacheMetrics;
use crate::pipeline::metrics::Metrics;
use crate::report::{Reporter, Revision};
use crate::snapshot::{self, BuildInput, Shared, Snapshot};
use crate::telemetry::{self, Format, LevelHandle};
use crate::upstream::account::{metrics::AccountMetrics, poll};
use crate::watchdog::Watchdog;
use crate::{metrics, signals};
use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use deepseek_config::keys::KeyId;
use deepseek_config::report::ADMIN_PORT;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinSet;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long to wait for the API server's address to answer a connect.
const API_CONNECT: Duration = Duration::from_secs(5);

/// Does what the command line says.
pub fn run(args: Args) -> ExitCode {
    let result = match args.mode {
        Mode::Standalone(args) if args.check => return check(&args.paths),
        Mode::Standalone(args) => Plan::standalone(args).execute(),
        Mode::Cluster(args) => Plan::cluster(args).execute(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the files.
fn check(paths: &[PathBuf]) -> ExitCode {
    let (problems, objects) = standalone::check(paths);
    for problem in &problems {
        say(&problem.to_string());
    }
    if problems.is_empty() {
        say(&format!("ok: {objects} objects"));
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// Where the configuration comes from.
enum Source {
    Standalone(Standalone),
    Cluster(Cluster),
}

impl Source {
    /// The pod this process is in, by which the operator elects one.
    fn pod(&self) -> Option<String> {
        match self {
            Self::Standalone(_) => None,
            Self::Cluster(args) => args.pod.clone(),
        }
    }
}

/// What a process is to be, whatever its source.
struct Plan {
    source: Source,
    format: Format,
    bind: Bind,
    admin: SocketAddr,
    threads: usize,
    zone: Option<String>,
    level: Option<telemetry::Level>,
}

impl Plan {
    fn standalone(args: Standalone) -> Self {
        let host = args.listen.map_or(LOCALHOST, |listen| listen.ip());
        let bind = Bind { host, first: args.listen };
        let Process { admin, threads, ref zone, log_level } = args.process;
        Self {
            bind,
            format: Format::Stderr,
            admin: admin.unwrap_or(SocketAddr::new(LOCALHOST, ADMIN_PORT)),
            threads: workers(threads),
            zone: zone.clone().filter(|zone| !zone.is_empty()),
            level: log_level,
            source: Source::Standalone(args),
        }
    }

    fn cluster(args: Cluster) -> Self {
        let host = everywhere();
        let Process { admin, threads, ref zone, log_level } = args.process;
        Self {
            bind: Bind { host, first: None },
            format: Format::JsonToStdout,
            admin: admin.unwrap_or(SocketAddr::new(host, ADMIN_PORT)),
            threads: workers(threads),
            zone: zone.clone().filter(|zone| !zone.is_empty()),
            level: log_level,
            source: Source::Cluster(args),
        }
    }

    fn execute(self) -> anyhow::Result<()> {
        let level = telemetry::start(self.format, self.level);
        // Fails only when a provider was installed before; that one then stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name("worker")
            .enable_all()
            .build()
            .context("no runtime")?;
        let result = runtime.block_on(self.serve(level));
        // Whatever is left was cut: nothing to wait for.
        runtime.shutdown_background();
        result
    }

    async fn serve(self, level: LevelHandle) -> anyhow::Result<()> {
        let signals = signals::Signals::listen().context("no signal handlers")?;
        let mut registry = Registry::default();
        metrics::register(&mut registry);
        let config_metrics = ConfigMetrics::register(&mut registry);
        let context = Arc::new(Context {
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            shared: Arc::new(Shared::new(Metrics::register(&mut registry), self.zone.clone())),
            drain: Drain::default(),
        });
        registry.register_collector(Box::new(AccountMetrics(Arc::clone(&context.shared))));
        registry.register_collector(Box::new(CacheMetrics(Arc::clone(&context.shared.cache))));
        let reporter = {
            let context = Arc::clone(&context);
            let drain = context.drain.clone();
            Arc::new(Reporter::new(Revision::default(), drain, Box::new(move || observe(&context))))
        };
        let last_good = match &self.source {
            Source::Cluster(args) => args.last_good.as_deref().map(LastGood::in_directory).transpose(),
            Source::Standalone(_) => Ok(None),
        }
        .context("--last-good: the directory cannot be used; mount a writable volume there")?;
        let join = join(Arc::clone(&context), level);
        let worker = Worker::new(join, Arc::clone(&reporter), config_metrics.clone(), last_good.clone());
        let (inbox, joined) = worker.start().context("no thread for the configuration")?;

        let listeners = Listeners::new(Arc::clone(&context), self.bind, joined.clone());
        let listening = listeners.listening();
        let admin = TcpListener::bind(self.admin).await.with_context(|| {
            format!("admin port {}: cannot listen; choose another with --admin ADDRESS:PORT", self.admin)
        })?;
        let admin_url = format!("http://{}", admin.local_addr()?);
        tracing::info!(url = admin_url, "admin port open");
        let mut parts = JoinSet::new();
        parts.spawn(admin::serve(
            admin,
            Admin {
                reporter: Arc::clone(&reporter),
                registry,
                drain: context.drain.clone(),
                watchdog: Watchdog::start(&Handle::current()).context("no thread for the watchdog")?,
                joined,
                listening: listening.clone(),
            },
        ));
        parts.spawn(follow_health(Arc::clone(&context), reporter.revision().clone()));
        parts.spawn(poll::follow(Arc::clone(&context), self.source.pod()));
        parts.spawn(listeners.run());
        match self.source {
            Source::Standalone(args) => {
                standalone::start(args.paths, inbox, config_metrics)?;
                tokio::select! {
                    announced = announce(listening, &admin_url) => announced?,
                    () = signals.first() => return Ok(()),
                }
            }
            Source::Cluster(args) => {
                let watches = watches(args, last_good, inbox, config_metrics).await?;
                parts.spawn(watches.run());
            }
        }
        let result = tokio::select! {
            () = signals.first() => Ok(()),
            // A part ends only by a defect. Better a new process, which starts from disk, than one without it.
            Some(_) = parts.join_next() => Err(anyhow!("a part of the process has ended, see the log above")),
        };
        leave(&context, &reporter, signals).await;
        result
    }
}

/// Joins the store's documents into the snapshot that requests are served from.
fn join(context: Arc<Context>, level: LevelHandle) -> Join {
    Box::new(move |store: &Store| {
        let previous = context.snapshot.load_full();
        let output = snapshot::build(
            &context.shared,
            &BuildInput {
                previous: &previous,
                documents: store.documents(),
                keys: &|id: &KeyId| store.keys().get(id).map(Secret::expose),
                keys_revision: store.keys_revision(),
            },
        );
        level.configure(output.snapshot.settings.log_level);
        context.snapshot.store(Arc::new(output.snapshot));
        output.refused.into_iter().map(|refusal| (refusal.id, refusal.reason)).collect()
    })
}

/// Loads the copy on disk; what comes back follows the API server.
async fn watches(
    args: Cluster,
    last_good: Option<LastGood>,
    inbox: Inbox,
    metrics: ConfigMetrics,
) -> anyhow::Result<cluster::Cluster> {
    match last_good.as_ref().map(LastGood::load) {
        Some(Ok(Some((objects, keys)))) => {
            tracing::info!(objects = objects.len(), "last good configuration loaded from disk");
            inbox.send(Change::All { objects, keys: Some(keys) });
        }
        Some(Err(error)) => tracing::warn!(%error, "the last good configuration on disk cannot be read"),
        Some(Ok(None)) | None => {}
    }
    let mut config = kube::Config::infer().await.context(
        "no way to the API server: run it in a pod, or set KUBECONFIG; without a cluster use `standalone`",
    )?;
    config.connect_timeout = Some(API_CONNECT);
    let client = kube::Client::try_from(config).context("no client for the API server")?;
    Ok(cluster::Cluster::new(&client, &args.namespace, &args.gateway, inbox, metrics))
}

/// Prints what listens, once all of it does; later changes are printed as they come.
async fn announce(mut listening: watch::Receiver<Listening>, admin: &str) -> anyhow::Result<()> {
    let first = listening.wait_for(|now| now.complete || !now.failed.is_empty()).await?.clone();
    if let Some((name, error)) = first.failed.first_key_value() {
        bail!("listener {name}: {error}; choose another address with --listen ADDRESS:PORT");
    }
    let mut printed = BTreeSet::new();
    print_new(&first, &mut printed);
    say(&format!("admin on {admin}"));
    tokio::spawn(async move {
        while listening.changed().await.is_ok() {
            print_new(&listening.borrow_and_update(), &mut printed);
        }
    });
    Ok(())
}

fn print_new(listening: &Listening, printed: &mut BTreeSet<String>) {
    for url in listening.urls.values() {
        if printed.insert(url.clone()) {
            say(&format!("listening on {url}"));
        }
    }
    printed.retain(|url| listening.urls.values().any(|open| open == url));
}

/// Writes a line to standard output, which may have been closed: then nobody wants to know.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

async fn leave(context: &Context, reporter: &Reporter, signals: signals::Signals) {
    let settings = context.snapshot.load().settings.clone();
    let pace = Pace { delay: settings.drain_delay, timeout: settings.drain_timeout };
    tracing::info!(delay = ?pace.delay, timeout = ?pace.timeout, in_flight = context.drain.requests(), "leaving");
    context.drain.begin();
    reporter.revision().bump();
    match context.drain.run(pace, signals.second()).await {
        Outcome::Idle => tracing::info!("left, nothing in flight"),
        Outcome::Cut(requests) => tracing::warn!(requests, "left, requests were cut"),
    }
}

fn workers(threads: Option<std::num::NonZeroUsize>) -> usize {
    threads.or_else(|| available_parallelism().ok()).map_or(1, std::num::NonZeroUsize::get)
}
