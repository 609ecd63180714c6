//! `helm install` and `helm uninstall` of the charts, and what each grants to whom.
//!
//! Each test has a control plane of its own: definitions are the cluster's, and other tests need them to stay.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use deepseek_tests::{
    kubernetes::{ControlPlane, eventually},
    manifests::documents,
};
use serde_json::json;

pub const SYSTEM: &str = "deepseek-system";
pub const MINUTE: Duration = Duration::from_mins(1);

fn chart(name: &str) -> String {
    format!("{}/../charts/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub async fn install(plane: &ControlPlane, arguments: &[&str]) -> anyhow::Result<()> {
    plane.helm(&["install", "deepseek-operator-crds", &chart("deepseek-operator-crds")]).await?.ok()?;
    let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    plane.kubectl(&established).await?.ok()?;
    plane.kubectl(&["create", "namespace", SYSTEM]).await?.ok()?;
    // What a careful platform team enforces.
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    plane.kubectl(&["label", "namespace", SYSTEM, restricted]).await?.ok()?;
    let chart = chart("deepseek-operator");
    let command = ["install", "deepseek-operator", &chart, "--namespace", SYSTEM];
    plane.helm(&[&command, arguments].concat()).await?.ok()?;
    Ok(())
}

/// Everything in the namespace that a user could list, but for what each namespace has from the start.
pub async fn left_in(plane: &ControlPlane, namespace: &str) -> anyhow::Result<Vec<String>> {
    let kinds =
        plane.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"]).await?.ok()?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let listed = plane.kubectl(&["get", &kinds.join(","), "-n", namespace, "-o", "name"]).await?.ok()?;
    let own = ["configmap/kube-root-ca.crt", "serviceaccount/default"];
    Ok(listed.lines().filter(|name| !own.contains(name)).map(str::to_owned).collect())
}

#[tokio::test]
async fn an_install_passes_restricted_pod_security_and_an_uninstall_leaves_only_the_definitions() {
    let plane = ControlPlane::start().await.unwrap();
    install(&plane, &[]).await.unwrap();

    let selector = ["-l", "app.kubernetes.io/component=operator", "-o", "name"];
    eventually("both operator pods are admitted", MINUTE, async || {
        let pods = plane.kubectl(&[&["get", "pods", "-n", SYSTEM], &selector[..]].concat()).await?.ok()?;
        anyhow::ensure!(pods.lines().count() == 2, "{pods:?}");
        Ok(())
    })
    .await;
    let gateway =
        plane.kubectl(&["get", "dsg", "default", "-n", SYSTEM, "-o", "jsonpath={.spec.default}"]).await;
    assert_eq!(gateway.unwrap().ok().unwrap(), "true");

    plane.helm(&["uninstall", "deepseek-operator", "--namespace", SYSTEM]).await.unwrap().ok().unwrap();
    plane.helm(&["uninstall", "deepseek-operator-crds"]).await.unwrap().ok().unwrap();
    eventually("nothing is left in the namespace", MINUTE, async || {
        let left = left_in(&plane, SYSTEM).await?;
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await;
    let everywhere = plane.kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"]).await.unwrap();
    assert!(!everywhere.ok().unwrap().contains("deepseek"));
    let kept = plane.kubectl(&["get", "crd", "-o", "name"]).await.unwrap().ok().unwrap();
    assert_eq!(kept.lines().filter(|name| name.contains("deepseekroute.io")).count(), 4, "{kept}");
}

#[tokio::test]
async fn a_tenant_with_edit_writes_routes_but_no_gateways_and_one_with_view_only_reads() {
    let plane = ControlPlane::start().await.unwrap();
    install(&plane, &[]).await.unwrap();
    let namespace = plane.namespace("tenant").await.unwrap();
    for (user, role) in [("erin", "edit"), ("vera", "view")] {
        let bind = ["create", "rolebinding", user, "-n", &namespace, "--clusterrole", role, "--user", user];
        plane.kubectl(&bind).await.unwrap().ok().unwrap();
    }
    let may = async |user: &str, verb: &str, kind: &str| -> anyhow::Result<bool> {
        let (resource, subresource) = kind.split_once('/').unwrap_or((kind, ""));
        let resource = format!("{resource}.deepseekroute.io");
        let who = ["-n", &namespace, "--as", user, "--subresource", subresource];
        let question = [&["auth", "can-i", verb, &resource], &who[..]].concat();
        Ok(plane.kubectl(&question).await?.stdout.trim() == "yes")
    };
    eventually("the controller manager has put our roles into view and edit", MINUTE, async || {
        anyhow::ensure!(may("erin", "create", "deepseekroutes").await?, "not yet");
        anyhow::ensure!(may("vera", "list", "deepseekgateways").await?, "not yet");
        Ok(())
    })
    .await;
    for (user, verb, kind, expected) in [
        ("erin", "delete", "deepseekconsumers", true),
        ("erin", "get", "deepseekgateways", true),
        ("erin", "create", "deepseekgateways", false),
        ("erin", "patch", "deepseekroutes/status", false),
        ("vera", "get", "deepseekbackends", true),
        ("vera", "update", "deepseekroutes", false),
    ] {
        assert_eq!(may(user, verb, kind).await.unwrap(), expected, "may {user} {verb} {kind}?");
    }
}

#[tokio::test]
async fn with_watch_namespaces_the_operator_may_nothing_elsewhere() {
    let plane = ControlPlane::start().await.unwrap();
    plane.kubectl(&["create", "namespace", "team-a"]).await.unwrap().ok().unwrap();
    install(&plane, &["--set", "watchNamespaces={team-a}"]).await.unwrap();
    let operator = "system:serviceaccount:deepseek-system:deepseek-operator";
    for (namespace, expected) in [("team-a", "yes"), (SYSTEM, "yes"), ("default", "no")] {
        let question = ["auth", "can-i", "get", "secrets", "-n", namespace, "--as", operator];
        let answer = plane.kubectl(&question).await.unwrap().stdout;
        assert_eq!(answer.trim(), expected, "in {namespace}");
    }
}

/// A control plane with our definitions alone.
async fn with_definitions() -> ControlPlane {
    let plane = ControlPlane::start().await.unwrap();
    let definitions = chart("deepseek-operator-crds");
    plane.helm(&["install", "deepseek-operator-crds", &definitions]).await.unwrap().ok().unwrap();
    plane.kubectl(&["wait", "--for=condition=Established", "crd", "--all"]).await.unwrap().ok().unwrap();
    plane
}

/// Applies the manifests in `path`, none of whose fields may be unknown, and none deprecated.
async fn apply_strictly(plane: &ControlPlane, path: &Path) {
    let manifests = documents(&std::fs::read_to_string(path).unwrap()).unwrap();
    // Kinds that others bring, and that are not on this cluster.
    let foreign = ["ReferenceGrant", "ServiceMonitor"];
    let ours = manifests.into_iter().filter(|it| !foreign.contains(&it["kind"].as_str().unwrap_or_default()));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": ours.collect::<Vec<_>>()});
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), list.to_string()).unwrap();
    let file = file.path().to_str().unwrap();
    let applied = plane.kubectl(&["apply", "--validate=strict", "-f", file]).await.unwrap();
    assert!(applied.success && applied.stderr.is_empty(), "{}: {}", path.display(), applied.stderr);
}

fn yaml_files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths.filter(|path| path.to_str().is_some_and(|it| it.ends_with(ending))).collect();
    assert!(!found.is_empty());
    found
}

#[tokio::test]
async fn the_api_server_takes_every_example_to_the_letter() {
    let plane = with_definitions().await;
    for folder in ["examples", "examples/quickstart"] {
        for path in yaml_files(folder, ".yaml") {
            apply_strictly(&plane, &path).await;
        }
    }
}

#[tokio::test]
async fn the_api_server_takes_whatever_the_values_make_of_the_chart() {
    let plane = with_definitions().await;
    for namespace in [SYSTEM, "team-a", "team-b"] {
        plane.kubectl(&["create", "namespace", namespace]).await.unwrap().ok().unwrap();
    }
    for path in yaml_files("charts/tests", ".out.yaml") {
        apply_strictly(&plane, &path).await;
    }
}

#[tokio::test]
async fn an_upgrade_leaves_the_lease_with_its_holder() {
    let plane = ControlPlane::start().await.unwrap();
    install(&plane, &[]).await.unwrap();
    let hold = r#"{"spec": {"holderIdentity": "pod-1", "leaseDurationSeconds": 15}}"#;
    let lease = ["lease", "deepseek-operator", "-n", SYSTEM];
    let patch = [&["patch"], &lease[..], &["--type=merge", "-p", hold]].concat();
    plane.kubectl(&patch).await.unwrap().ok().unwrap();

    let chart = chart("deepseek-operator");
    let upgrade = ["upgrade", "deepseek-operator", &chart, "-n", SYSTEM, "--set", "replicas=3"];
    plane.helm(&upgrade).await.unwrap().ok().unwrap();

    let read = [&["get"], &lease[..], &["-o", "jsonpath={.spec.holderIdentity}"]].concat();
    assert_eq!(plane.kubectl(&read).await.unwrap().ok().unwrap(), "pod-1");
}
