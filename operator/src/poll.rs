//! Asks every gateway pod what it loaded: one long poll a pod, so that news arrives within milliseconds.

use crate::cluster::Name;
use crate::cluster::traffic::TICK_SECONDS;
use crate::context::Context;
use deepseek_config::report::{ADMIN_PORT, Report};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// How long a pod may wait with an answer without news. Below the tick of the figures, so that these are fresh.
const WAIT_SECONDS: u64 = 12;
/// How long an answer may take altogether.
const TIMEOUT: Duration = Duration::from_secs(WAIT_SECONDS + 5);
/// Pause after an answer: many changes at once arrive as few reports.
const PAUSE: Duration = Duration::from_millis(50);
/// Pauses after failures: from this, doubling, to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);

/// A pod that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    name: Name,
    uid: String,
    address: IpAddr,
}

/// Keeps one poll running for each pod that has an address, until `stop`.
pub async fn poll(cx: Arc<Context>, stop: CancellationToken) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .timeout(TIMEOUT)
        .user_agent("deepseek-operator")
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "failed to make an HTTP client for the pods' reports");
            return;
        }
    };
    let mut tasks = JoinSet::new();
    let mut running: HashMap<Asked, AbortHandle> = HashMap::new();
    loop {
        let mut wanted: Vec<Asked> = {
            let cluster = cx.cluster.lock();
            let pods = cluster.pods.reachable();
            pods.map(|(name, uid, address)| Asked { name: name.clone(), uid: uid.to_owned(), address })
                .collect()
        };
        running.retain(|asked, task| {
            let stays = wanted.contains(asked);
            if !stays {
                task.abort();
            }
            stays
        });
        wanted.retain(|asked| !running.contains_key(asked));
        for asked in wanted {
            let task = tasks.spawn(ask(Arc::clone(&cx), client.clone(), asked.clone()));
            running.insert(asked, task);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = cx.pods_changed.notified() => {}
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn ask(cx: Arc<Context>, client: reqwest::Client, asked: Asked) {
    let address = SocketAddr::new(asked.address, ADMIN_PORT);
    let mut revision: Option<u64> = None;
    let mut failures = 0_u32;
    loop {
        match once(&client, address, revision).await {
            Ok(report) => {
                if failures > 0 || revision.is_none() {
                    debug!(pod = asked.name.1, objects = report.objects.len(), "pod reports");
                }
                failures = 0;
                revision = Some(report.revision);
                let changed = cx.cluster.lock().pods.report(&asked.name, &asked.uid, report);
                cx.queue.add_all(changed);
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                cx.metrics.report_errors.inc();
                // A new process counts its revisions from the start.
                revision = None;
                failures += 1;
                if failures == 5 {
                    info!(pod = asked.name.1, %error, "a pod does not report");
                }
                let pause = FIRST * (1 << failures.min(6));
                tokio::time::sleep(pause.min(LONGEST).mul_f64(rand::random_range(0.5..1.0))).await;
            }
        }
    }
}

async fn once(client: &reqwest::Client, address: SocketAddr, after: Option<u64>) -> reqwest::Result<Report> {
    let url = match after {
        Some(revision) => format!("http://{address}/status?after={revision}&wait={WAIT_SECONDS}"),
        None => format!("http://{address}/status"),
    };
    client.get(url).send().await?.error_for_status()?.json().await
}

/// Takes the figures of routes at every tick, until `stop`.
pub async fn figures(cx: Arc<Context>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(u64::from(TICK_SECONDS)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let moved = {
            let mut cluster = cx.cluster.lock();
            let crate::cluster::Cluster { traffic, pods, .. } = &mut *cluster;
            traffic.tick(pods.counters())
        };
        cx.queue.add_all(moved);
    }
}
