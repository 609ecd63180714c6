//! Two replicas: one writes, the other takes over.

use super::support::{GATEWAY, SOON, route, secret};
use anyhow::{Context as _, ensure};
use deepseek_crds::labels;
use deepseek_tests::kubernetes::eventually;
use deepseek_tests::operator::{Installation, Operator};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use std::time::{Duration, Instant};

async fn replica(installation: &Installation, name: &str, namespace: &str) -> Operator {
    let arguments = ["--identity", name, "--leader-elect", "--watch-namespaces", namespace];
    let operator = Operator::spawn(installation.operator_kubeconfig(), &arguments).await.unwrap();
    operator.ready().await.unwrap();
    operator
}

async fn leads(operator: &Operator) -> anyhow::Result<()> {
    let leader = operator.metric("deepseek_operator_leader").await?;
    ensure!(leader > 0.0, "it does not lead\n{}", operator.log());
    Ok(())
}

/// Applies a route and waits until somebody has written its document.
async fn a_route_is_served(installation: &Installation, namespace: &str, name: &str) {
    let manifest = route(name, name, "deepseek");
    let path = std::env::temp_dir().join(format!("{namespace}-{name}.yaml"));
    std::fs::write(&path, manifest).unwrap();
    let applied = installation.kubectl(&["apply", "-n", namespace, "-f", path.to_str().unwrap()]).await;
    applied.unwrap().ok().unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(installation.client().await.unwrap(), namespace);
    let selector = format!("{}={name}", labels::OWNER_NAME);
    eventually(&format!("route {name} has its document"), SOON, async || {
        let found = maps.list(&ListParams::default().labels(&selector)).await?;
        ensure!(found.items.len() == 1, "it has {}", found.items.len());
        Ok(())
    })
    .await;
}

async fn written(operator: &Operator) -> f64 {
    let (_, text) = operator.admin("/metrics").await.unwrap();
    let writes = text.lines().filter(|line| line.starts_with("deepseek_operator_writes_total"));
    writes.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn one_replica_writes_and_another_takes_over_from_a_killed_and_from_a_stopped_one() {
    // One Lease for the whole installation, so an installation of its own.
    let installation = Installation::start().await.unwrap();
    let namespace = installation.namespace("election").await.unwrap();
    let manifests = [GATEWAY, &secret("deepseek", "sk-of-the-account")].concat();
    let path = std::env::temp_dir().join(format!("{namespace}.yaml"));
    std::fs::write(&path, manifests).unwrap();
    let apply = ["apply", "-n", &namespace, "-f", path.to_str().unwrap()];
    installation.kubectl(&apply).await.unwrap().ok().unwrap();

    let mut first = replica(&installation, "first", &namespace).await;
    eventually("the first replica leads", SOON, async || leads(&first).await).await;
    let mut second = replica(&installation, "second", &namespace).await;
    a_route_is_served(&installation, &namespace, "one").await;
    assert!(written(&first).await > 0.0);
    assert!(written(&second).await < 1.0, "a standby writes nothing");
    assert!(leads(&second).await.is_err());

    // Killed: nobody gives the Lease back.
    let killed = Instant::now();
    first.signal("KILL").unwrap();
    first.exited(SOON).await.unwrap();
    eventually("the second replica leads", SOON, async || leads(&second).await).await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    a_route_is_served(&installation, &namespace, "two").await;

    // Stopped: the Lease is free at once.
    let third = replica(&installation, "third", &namespace).await;
    let stopped = Instant::now();
    second.signal("TERM").unwrap();
    eventually("the third replica leads", SOON, async || leads(&third).await).await;
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    assert!(second.exited(SOON).await.unwrap().success());
    a_route_is_served(&installation, &namespace, "three").await;
}

#[tokio::test]
async fn a_leader_that_loses_its_lease_ends() {
    let installation = Installation::start().await.unwrap();
    let namespace = installation.namespace("lost").await.unwrap();
    let mut operator = replica(&installation, "robbed", &namespace).await;
    eventually("it leads", SOON, async || leads(&operator).await).await;

    let robbery = r#"{"spec": {"holderIdentity": "robber", "leaseDurationSeconds": 3600}}"#;
    let system = deepseek_tests::operator::SYSTEM;
    let patch = ["patch", "lease", "deepseek-operator", "-n", system, "--type=merge", "-p", robbery];
    installation.kubectl(&patch).await.unwrap().ok().unwrap();

    let status = operator.exited(SOON).await.unwrap();
    assert!(!status.success(), "{status}");
    let last = operator.records().unwrap().pop().context("it logged nothing").unwrap();
    assert!(last["error"].as_str().unwrap_or_default().contains("lost the lead"), "{last}");
}
