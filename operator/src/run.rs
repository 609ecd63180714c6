//! The composition root: reads top to bottom what the process consists of.
//!
//! ```text
//!   admin listener ─ self-check ─ watches ─┬─ Secrets reader        every replica
//!                                          └─ election ─┬─ workers, polls, Events   the leader alone
//!                                                       └─ lost: the process ends
//! ```

use crate::access;
use crate::admin::{self, Admin};
use crate::args::Run;
use crate::backoff::Backoff;
use crate::cluster::children::ChildKind;
use crate::context::{Context, Settings};
use crate::events;
use crate::leader::{Elector, End, Leadership};
use crate::metrics::{Metrics, QueueName, Watched};
use crate::poll;
use crate::queue::{Work, WorkQueue};
use crate::reconcile::note_desired;
use crate::watch::{self, Health};
use crate::worker;
use anyhow::Context as _;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_crds::v1alpha1::{DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute};
use kube::{Client, Config};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// How long to wait before looking again for what the self-check missed.
const CHECK_AGAIN: Duration = Duration::from_secs(3);
/// How long tasks may take to end.
const SHUTDOWN: Duration = Duration::from_millis(1500);

/// Runs the operator until it is told to stop, or loses the lead.
pub async fn run(args: Run) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let config = Config::infer()
        .await
        .context("failed to find the API server: neither a kubeconfig nor a pod's ServiceAccount")?;
    let client = Client::try_from(config).context("failed to make a client of the API server")?;
    let identity = args.identity.clone().unwrap_or_else(identity);
    let (metrics, registry) = Metrics::new();
    let metrics = Arc::new(metrics);
    let leadership = Arc::new(if args.leader_elect { Leadership::default() } else { Leadership::always() });
    let (events, teller) =
        events::events(client.clone(), &identity, Arc::clone(&leadership), Arc::clone(&metrics));
    let cx = Arc::new(Context {
        client: client.clone(),
        cluster: Mutex::default(),
        queue: WorkQueue::default(),
        backoff: Backoff::default(),
        leadership: Arc::clone(&leadership),
        metrics: Arc::clone(&metrics),
        events,
        settings: Settings { namespace: args.namespace.clone(), image: args.image.clone() },
        secrets_changed: Notify::new(),
        pods_changed: Notify::new(),
    });
    let health = Arc::new(Health::new(Arc::clone(&metrics)));
    let missing = Arc::new(Mutex::new(None));
    let (tasks, writers) = (TaskTracker::new(), TaskTracker::new());

    let refresh: Arc<dyn Fn() + Send + Sync> = Arc::new({
        let cx = Arc::clone(&cx);
        move || refresh(&cx)
    });
    let admin = Admin {
        registry: Arc::new(registry),
        refresh,
        health: Arc::clone(&health),
        missing: Arc::clone(&missing),
    };
    let admin = tasks.spawn(admin::serve(args.admin_address, admin, stop.clone()));

    let listed = CancellationToken::new();
    let lead = async {
        self_check(&client, &args.namespaces(), &missing).await;
        start_watches(&cx, &health, &args, &tasks, &stop);
        health.synced().await;
        info!(resources = cx.cluster.lock().resources.len(), "everything is listed");
        listed.cancel();
        leadership.acquired().await;
        metrics.leader.set(1);
        start_writing(&cx, &args, &writers, &stop).await;
        writers.spawn(teller.run(stop.clone()));
        std::future::pending::<()>().await;
    };
    let elector = Elector::new(client.clone(), &args.namespace, identity, Arc::clone(&leadership));
    let election = async {
        if args.leader_elect {
            // Who has not listed everything yet must not lead.
            listed.cancelled().await;
            elector.run(stop.clone()).await
        } else {
            stop.cancelled().await;
            End::Stopped
        }
    };
    let end = tokio::select! {
        () = lead => End::Stopped,
        end = election => end,
        () = stop.cancelled() => End::Stopped,
        ended = admin => {
            stop.cancel();
            ended.context("the admin listener broke off")??;
            End::Stopped
        }
    };
    stop.cancel();
    metrics.leader.set(0);
    // What is being written is finished, then the Lease is given back, then the rest may end as it likes.
    ended(&writers).await;
    if args.leader_elect && end == End::Stopped {
        elector.resign().await;
    }
    ended(&tasks).await;
    match end {
        End::Stopped => {
            info!("stopped");
            Ok(())
        }
        End::Lost => anyhow::bail!("lost the lead: another replica may write now"),
    }
}

/// Waits for tasks that were told to end, but not for long.
async fn ended(tasks: &TaskTracker) {
    tasks.close();
    if tokio::time::timeout(SHUTDOWN, tasks.wait()).await.is_err() {
        warn!("some tasks did not end in time");
    }
}

/// Waits until the self-check finds nothing missing, saying what it misses.
async fn self_check(client: &Client, namespaces: &[String], missing: &Mutex<Option<Vec<String>>>) {
    let mut told = Vec::new();
    loop {
        match access::missing(client, namespaces).await {
            Ok(found) => {
                *missing.lock() = Some(found.clone());
                if found.is_empty() {
                    return;
                }
                if told != found {
                    for problem in &found {
                        error!(problem, "self-check");
                    }
                    told = found;
                }
            }
            Err(error) => warn!(%error, "the API server does not answer the self-check"),
        }
        tokio::time::sleep(CHECK_AGAIN).await;
    }
}

fn start_watches(
    cx: &Arc<Context>,
    health: &Arc<Health>,
    args: &Run,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let names = args.namespaces();
    let scopes: Vec<Option<String>> =
        if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
    for scope in &scopes {
        let shared = || (Arc::clone(cx), Arc::clone(health));
        let ((cx, health), scope) = (shared(), scope.clone());
        tasks.spawn(watch::resources::<DeepSeekGateway>(cx, health, scope.clone(), stop.clone()));
        let (cx, health) = shared();
        tasks.spawn(watch::resources::<DeepSeekBackend>(cx, health, scope.clone(), stop.clone()));
        let (cx, health) = shared();
        tasks.spawn(watch::resources::<DeepSeekConsumer>(cx, health, scope.clone(), stop.clone()));
        let (cx, health) = shared();
        tasks.spawn(watch::resources::<DeepSeekRoute>(cx, health, scope.clone(), stop.clone()));
        let (cx, health) = shared();
        tasks.spawn(watch::secrets(cx, health, scope.clone(), stop.clone()));
        let (cx, health) = shared();
        tasks.spawn(watch::documents(cx, health, scope.clone(), stop.clone()));
        let (cx, health) = shared();
        tasks.spawn(watch::pods(cx, health, scope.clone(), stop.clone()));
        for kind in ChildKind::ALL {
            let (cx, health) = shared();
            tasks.spawn(watch::children(cx, health, kind, scope.clone(), stop.clone()));
        }
    }
    tasks.spawn(watch::grants(Arc::clone(cx), Arc::clone(health), scopes, stop.clone()));
    tasks.spawn(watch::read_secrets(Arc::clone(cx), stop.clone()));
}

/// Starts what only the leader does.
async fn start_writing(cx: &Arc<Context>, args: &Run, tasks: &TaskTracker, stop: &CancellationToken) {
    // Before anything is judged, what it refers to is read.
    while watch::read_wanted_secrets(cx).await {
        tokio::time::sleep(CHECK_AGAIN).await;
    }
    enqueue_everything(cx);
    tasks.spawn(poll::poll(Arc::clone(cx), stop.clone()));
    tasks.spawn(poll::figures(Arc::clone(cx), stop.clone()));
    for _ in 0..args.workers {
        tasks.spawn(worker::work(Arc::clone(cx), stop.clone()));
    }
}

/// Everything that is, and everything that left something behind, is looked at once. What all of it needs is known
/// before the first Secret of projected keys is written, so that none loses a key in between.
fn enqueue_everything(cx: &Context) {
    let mut cluster = cx.cluster.lock();
    let mut ids: BTreeSet<ObjectId> = cluster.resources.keys().cloned().collect();
    ids.extend(cluster.documents.owners().cloned());
    for id in &ids {
        let compilation = cluster.world.compile(id);
        note_desired(cx, &mut cluster, id, compilation.as_ref());
    }
    drop(cluster);
    let gateways = ids.iter().filter(|id| id.kind == Kind::Gateway);
    gateways.for_each(|gateway| cx.queue.add(Work::Keys(gateway.clone())));
    cx.queue.add_all(ids);
}

/// Brings gauges up to date.
fn refresh(cx: &Context) {
    let depth = i64::try_from(cx.queue.depth()).unwrap_or(i64::MAX);
    cx.metrics.queue_depth.get_or_create(&QueueName { name: "reconcile" }).set(depth);
    let mut counts: BTreeMap<&'static str, i64> = Kind::ALL.map(|kind| (kind.as_str(), 0)).into();
    for id in cx.cluster.lock().resources.keys() {
        *counts.entry(id.kind.as_str()).or_default() += 1;
    }
    for (kind, count) in counts {
        cx.metrics.resources.get_or_create(&Watched { kind }).set(count);
    }
}

/// A name no other replica has.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{:08x}", host.trim(), rand::random::<u32>())
}

fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM"),
            _ = interrupt.recv() => info!("SIGINT"),
        }
        stop.cancel();
    });
    Ok(())
}
