//! How the operator keeps up: many routes at once, what that takes, and what it costs at rest.

use super::{GatewayPod, Installation, Operator};
use crate::kubernetes::{Write, eventually, try_eventually};
use anyhow::{Context as _, ensure};
use deepseek_crds::conditions::{ConditionType, is_true};
use deepseek_crds::v1alpha1::{DeepSeekGateway, DeepSeekRoute};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

/// Requests to the API server at the same time while routes are made.
const AT_ONCE: usize = 32;
/// Accounts that the routes share.
const BACKENDS: usize = 20;
/// Changes of single routes that are timed.
const CHANGES: usize = 30;
const LONG: Duration = Duration::from_mins(10);

/// What was measured.
#[derive(Debug)]
pub struct Figures {
    /// Routes.
    pub routes: usize,
    /// How long it took to apply them all.
    pub applied: Duration,
    /// From the first one applied until all of them were programmed.
    pub programmed: Duration,
    /// From a change of one route until it was programmed, each.
    pub changes: Vec<Duration>,
    /// What the operator wrote for that, by verb and resource.
    pub writes: BTreeMap<String, usize>,
    /// Resident memory of the operator with all of them, and at its highest.
    pub memory: (u64, u64),
    /// From the start of another operator until it had looked at everything.
    pub restart: Duration,
    /// What that one wrote.
    pub writes_after_restart: BTreeMap<String, usize>,
}

/// Measures with `routes` routes on one real gateway.
pub async fn measure(routes: usize) -> anyhow::Result<Figures> {
    let installation = Installation::start().await?;
    let namespace = installation.namespace("scale").await?;
    let client = installation.client().await?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    prepare(&client, &namespace, port).await?;
    let operator = Operator::start_quiet(&installation, &[&namespace]).await?;
    let _pod = GatewayPod::start(&installation, &namespace, "gw", "gw-0").await?;
    let api: Api<DeepSeekRoute> = Api::namespaced(client.clone(), &namespace);

    let before = installation.writes()?.len();
    let start = Instant::now();
    let mut seen = std::pin::pin!(watcher::watcher(api.clone(), watcher::Config::default()));
    let made =
        stream::iter((0..routes).map(Ok)).try_for_each_concurrent(AT_ONCE, |n| {
            let api = api.clone();
            async move {
                api.create(&PostParams::default(), &route(n)?).await.map(drop).map_err(anyhow::Error::from)
            }
        });
    let applying = async {
        made.await?;
        anyhow::Ok(start.elapsed())
    };
    let waiting = tokio::time::timeout(LONG, async {
        let mut ready: HashMap<String, bool> = HashMap::new();
        while let Some(event) = seen.next().await {
            if let Ok(Event::Apply(route) | Event::InitApply(route)) = event {
                ready.insert(route.name_any(), programmed(&route));
            }
            if ready.len() == routes && ready.values().all(|ready| *ready) {
                break;
            }
        }
        start.elapsed()
    });
    let (applied, programmed) = tokio::join!(applying, waiting);
    let applied = applied?;
    let programmed =
        programmed.with_context(|| format!("not all routes were programmed\n{}", operator.log()))?;
    settled(&operator).await?;
    let writes = by_resource(&installation.writes()?[before..]);
    let memory = (operator.memory()?, operator.peak_memory()?);

    let mut changes = Vec::new();
    for n in 0..CHANGES.min(routes) {
        changes.push(change(&api, n).await?);
    }
    changes.sort_unstable();
    settled(&operator).await?;

    stop(operator).await?;
    let before = installation.writes()?.len();
    let start = Instant::now();
    let operator = Operator::start_quiet(&installation, &[&namespace]).await?;
    let all = "deepseek_operator_status_writes_total{kind=\"DeepSeekRoute\",result=\"unchanged\"}";
    eventually("the new operator has looked at every route", LONG, async || {
        let visited = operator.metric(all).await?;
        #[expect(clippy::cast_precision_loss, reason = "a count of routes is small")]
        let enough = visited >= routes as f64;
        ensure!(enough, "{visited} of {routes}");
        Ok(())
    })
    .await;
    let restart = start.elapsed();
    settled(&operator).await?;
    let writes_after_restart = by_resource(&installation.writes()?[before..]);
    stop(operator).await?;
    Ok(Figures { routes, applied, programmed, changes, writes, memory, restart, writes_after_restart })
}

async fn stop(mut operator: Operator) -> anyhow::Result<()> {
    operator.signal("TERM")?;
    operator.exited(Duration::from_secs(10)).await?;
    Ok(())
}

async fn prepare(client: &Client, namespace: &str, port: u16) -> anyhow::Result<()> {
    let gateway: DeepSeekGateway = serde_json::from_value(json!({
        "apiVersion": "deepseekroute.io/v1alpha1", "kind": "DeepSeekGateway", "metadata": {"name": "gw"},
        "spec": {"default": true, "replicas": {"min": 1}, "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}]}
    }))?;
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &gateway).await?;
    let secret: Secret = serde_json::from_value(
        json!({"metadata": {"name": "key"}, "stringData": {"key": "sk-0123456789abcdef"}}),
    )?;
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &secret).await?;
    let backends = ApiResource::erase::<deepseek_crds::v1alpha1::DeepSeekBackend>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &backends);
    for n in 0..BACKENDS {
        let backend = serde_json::from_value(json!({
            "apiVersion": "deepseekroute.io/v1alpha1", "kind": "DeepSeekBackend", "metadata": {"name": format!("account-{n}")},
            "spec": {"baseUrl": "https://api.deepseek.com", "apiKeys": [{"secretRef": {"name": "key", "key": "key"}}]}
        }))?;
        api.create(&PostParams::default(), &backend).await?;
    }
    Ok(())
}

/// A route as teams write them: a shared account first, a server of their own after it, two quotas.
fn route(n: usize) -> serde_json::Result<DeepSeekRoute> {
    serde_json::from_value(json!({
        "apiVersion": "deepseekroute.io/v1alpha1", "kind": "DeepSeekRoute", "metadata": {"name": format!("route-{n}")},
        "spec": {
            "model": format!("model-{n}"),
            "backends": [
                {"name": "account", "backendRef": {"name": format!("account-{}", n % BACKENDS)}},
                {"name": "own", "baseUrl": format!("http://vllm-{n}.models.svc:8000/v1"), "flavor": "VLLM", "priority": 1,
                 "apiKey": {"secretRef": {"name": "key", "key": "key"}}}
            ],
            "quota": [{"requests": 60, "window": "1m"}, {"tokens": 2_000_000, "window": "1h", "per": "Route"}]
        }
    }))
}

fn programmed(route: &DeepSeekRoute) -> bool {
    route.status.as_ref().is_some_and(|status| {
        status.observed_generation == route.metadata.generation
            && is_true(&status.conditions, ConditionType::Programmed)
    })
}

/// Changes one route and waits until that is programmed.
async fn change(api: &Api<DeepSeekRoute>, n: usize) -> anyhow::Result<Duration> {
    let name = format!("route-{n}");
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut seen = std::pin::pin!(watcher::watcher(api.clone(), config));
    // The watch is there before the change.
    while let Some(event) = seen.next().await {
        if let Ok(Event::InitDone) = event {
            break;
        }
    }
    let start = Instant::now();
    let patch = json!({"spec": {"aliases": [format!("alias-{n}")]}});
    let generation =
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?.metadata.generation;
    let waiting = tokio::time::timeout(LONG, async {
        while let Some(event) = seen.next().await {
            if let Ok(Event::Apply(route)) = event
                && route.metadata.generation == generation
                && programmed(&route)
            {
                break;
            }
        }
    });
    waiting.await.context("a changed route was not programmed")?;
    Ok(start.elapsed())
}

/// Waits until there is nothing to do and no write has come for a while.
async fn settled(operator: &Operator) -> anyhow::Result<()> {
    let (mut last, mut since) = (0.0, Instant::now());
    try_eventually("the operator is at rest", LONG, async || {
        let (_, text) = operator.admin("/metrics").await?;
        let sum = |prefix: &str| -> f64 {
            let lines = text.lines().filter(|line| line.starts_with(prefix) && !line.contains("unchanged"));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let writes = sum("deepseek_operator_writes_total") + sum("deepseek_operator_status_writes_total");
        #[expect(clippy::float_cmp, reason = "counts are whole numbers")]
        if writes != last {
            (last, since) = (writes, Instant::now());
        }
        ensure!(sum("workqueue_depth") == 0.0 && since.elapsed() > Duration::from_secs(2), "it still works");
        Ok(())
    })
    .await
}

/// What the operator asked for, by verb and resource. Its questions about its own permissions change nothing.
fn by_resource(writes: &[Write]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let ours = writes.iter().filter(|write| write.user.ends_with(":deepseek-operator"));
    for write in ours.filter(|write| write.resource != "selfsubjectaccessreviews") {
        *counts.entry(format!("{} {}", write.verb, write.resource)).or_default() += 1;
    }
    counts
}

impl Figures {
    /// Writes for each route, Events left out.
    #[expect(clippy::cast_precision_loss, reason = "a ratio with two decimals needs no more")]
    pub fn writes_per_route(&self) -> f64 {
        let writes = self.writes.iter().filter(|(what, _)| !what.ends_with(" events"));
        writes.map(|(_, count)| *count).sum::<usize>() as f64 / self.routes as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { routes, applied, programmed, changes, writes, memory, restart, writes_after_restart } =
            self;
        let percentile =
            |share: usize| changes.get((changes.len() * share / 100).min(changes.len() - 1)).copied();
        let milliseconds = |share| percentile(share).unwrap_or_default().as_millis();
        let megabytes = |bytes: u64| bytes >> 20;
        writeln!(f, "routes                      {routes}")?;
        writeln!(f, "all applied after           {:.1} s", applied.as_secs_f64())?;
        writeln!(f, "all programmed after        {:.1} s", programmed.as_secs_f64())?;
        writeln!(
            f,
            "one change programmed after {} ms (p50), {} ms (p99)",
            milliseconds(50),
            milliseconds(99)
        )?;
        writeln!(
            f,
            "operator memory             {} MiB, at its highest {} MiB",
            megabytes(memory.0),
            megabytes(memory.1)
        )?;
        writeln!(f, "writes for each route       {:.2}, Events left out", self.writes_per_route())?;
        for (what, count) in writes {
            writeln!(f, "  {what:<40} {count}")?;
        }
        writeln!(
            f,
            "another start               {:.1} s until everything was looked at",
            restart.as_secs_f64()
        )?;
        write!(f, "writes of that start        {}", writes_after_restart.values().sum::<usize>())?;
        for (what, count) in writes_after_restart {
            write!(f, "\n  {what:<40} {count}")?;
        }
        Ok(())
    }
}
