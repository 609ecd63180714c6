//! `helm uninstall` of both charts and the deletion of the definitions, as their notes say.

use std::time::Duration;

use deepseek_tests::kubernetes::try_eventually;

use super::site::{SYSTEM, Site, TENANT};

/// The gateway's pods take this long to leave: some seconds, as nothing is in flight.
const GONE: Duration = Duration::from_mins(1);

/// What every namespace has from the start.
const OF_KUBERNETES: [&str; 2] = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
/// What the tenant has put there himself.
const OF_THE_TENANT: [&str; 2] = ["secret/deepseek", "secret/my-app"];

pub async fn uninstall(site: &Site<'_>) -> anyhow::Result<()> {
    site.node.helm(&["uninstall", "deepseek-operator", "--namespace", SYSTEM]).await?.ok()?;
    try_eventually("nothing is left in the release's namespace", GONE, async || {
        let left = listed(site, true, &["-n", SYSTEM]).await?;
        let left: Vec<_> = left.iter().filter(|it| !OF_KUBERNETES.contains(&it.as_str())).collect();
        anyhow::ensure!(left.is_empty(), "{left:?}");
        anyhow::Ok(())
    })
    .await?;

    site.node.helm(&["uninstall", "deepseek-operator-crds"]).await?.ok()?;
    let kinds = ["routes", "backends", "gateways", "consumers"]
        .map(|kind| format!("deepseek{kind}.deepseekroute.io"));
    let kept = site.kubectl("get crd -o name").await?;
    anyhow::ensure!(kinds.iter().all(|kind| kept.contains(kind)), "the definitions should stay: {kept}");
    site.kubectl(&format!("delete crd {}", kinds.join(" "))).await?;

    let everywhere = listed(site, false, &[]).await?;
    let ours: Vec<_> = everywhere.iter().filter(|it| it.contains("deepseek")).collect();
    // Helm does not remove a namespace, and others may use it.
    anyhow::ensure!(ours == [&format!("namespace/{SYSTEM}")], "{ours:?}");
    let mut left = listed(site, true, &["-n", TENANT]).await?;
    left.retain(|it| ![OF_KUBERNETES, OF_THE_TENANT].concat().contains(&it.as_str()));
    anyhow::ensure!(left.is_empty(), "in the tenant's namespace: {left:?}");
    Ok(())
}

/// Everything of every kind that one can list, but for events and figures of pods, which go by themselves.
async fn listed(site: &Site<'_>, namespaced: bool, place: &[&str]) -> anyhow::Result<Vec<String>> {
    let kinds =
        site.kubectl(&format!("api-resources --namespaced={namespaced} --verbs=list -o name")).await?;
    let passing = |kind: &&str| kind.starts_with("events") || kind.ends_with("metrics.k8s.io");
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !passing(kind)).collect();
    let get = ["get", &kinds.join(","), "-o", "name"];
    let listed = site.node.kubectl(&[&get[..], place].concat()).await?.ok()?;
    Ok(listed.lines().map(str::to_owned).collect())
}
