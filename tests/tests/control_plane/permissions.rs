//! The operator at work under the chart's own ServiceAccount, with nothing but what the chart grants it.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{process::Stdio, time::Duration};

use deepseek_crds::reference_grant::ReferenceGrant;
use deepseek_tests::{
    binaries::bin,
    kubernetes::{ControlPlane, eventually},
};
use kube::CustomResourceExt as _;
use tokio::process::{Child, Command};

use crate::chart::{MINUTE, SYSTEM, install, left_in};

const OPERATOR: &str = "system:serviceaccount:deepseek-system:deepseek-operator";

/// Runs the operator as its Deployment does, but for the node it would need.
async fn operator(plane: &ControlPlane, arguments: &[&str]) -> Child {
    let kubeconfig = plane.kubeconfig_for_service_account(SYSTEM, "deepseek-operator").await.unwrap();
    Command::new(bin("deepseek-operator"))
        .args(["run", "--namespace", SYSTEM, "--admin-address", "127.0.0.1:0"])
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Installs what a cluster with Gateway API has.
async fn define_reference_grants(plane: &ControlPlane) {
    let mut definition = ReferenceGrant::crd();
    // The API server takes definitions of its own project's groups only with this.
    let approval = ("api-approved.kubernetes.io".to_owned(), "unapproved, for tests".to_owned());
    definition.metadata.annotations = Some([approval].into());
    plane.apply(&serde_json::to_string(&definition).unwrap()).await.unwrap().ok().unwrap();
    eventually("the definition of ReferenceGrant is served", MINUTE, async || {
        plane.kubectl(&["get", "referencegrants", "-A"]).await?.ok()
    })
    .await;
}

async fn apply(plane: &ControlPlane, example: &str) {
    let path = format!("{}/../examples/{example}", env!("CARGO_MANIFEST_DIR"));
    plane.kubectl(&["apply", "-f", &path]).await.unwrap().ok().unwrap();
}

async fn names(plane: &ControlPlane, kinds: &str, more: &[&str]) -> anyhow::Result<Vec<String>> {
    let listed = plane.kubectl(&[&["get", kinds, "-o", "name"], more].concat()).await?.ok()?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// Waits until every route is accepted and its references are resolved.
async fn accepted(plane: &ControlPlane, routes: usize) {
    let conditions = r#"jsonpath={range .items[*]}{range .status.conditions[?(@.status=="True")]}{.type} {end}{"\n"}{end}"#;
    eventually("every route is accepted", MINUTE, async || {
        let told = plane.kubectl(&["get", "deepseekroutes", "-A", "-o", conditions]).await?.ok()?;
        let good = told.lines().filter(|line| line.contains("Accepted") && line.contains("ResolvedRefs"));
        anyhow::ensure!(good.count() == routes, "{told}");
        Ok(())
    })
    .await;
}

/// What the operator was refused.
fn refused(plane: &ControlPlane) -> Vec<String> {
    let writes = plane.writes().unwrap().into_iter();
    let refused = writes.filter(|write| write.user == OPERATOR && write.code == 403);
    refused.map(|write| format!("{} {} in {}", write.verb, write.resource, write.namespace)).collect()
}

#[tokio::test]
async fn the_chart_grants_enough_and_an_uninstall_takes_along_what_the_operator_made() {
    let plane = ControlPlane::start().await.unwrap();
    install(&plane, &[]).await.unwrap();
    define_reference_grants(&plane).await;
    let operator = operator(&plane, &[]).await;
    apply(&plane, "quickstart").await;
    apply(&plane, "tenants.yaml").await;

    accepted(&plane, 2).await;
    eventually("the gateway has its workload", MINUTE, async || {
        let kinds = "deployment,service,hpa,pdb,networkpolicy,serviceaccount,role,rolebinding,secret";
        let made = names(&plane, kinds, &["-n", SYSTEM, "-l", "deepseekroute.io/gateway=default"]).await?;
        anyhow::ensure!(made.len() == kinds.split(',').count(), "{made:?}");
        Ok(())
    })
    .await;
    let documents = ["-n", SYSTEM, "-l", "app.kubernetes.io/component=config"];
    // The gateway, two routes, three consumers and the account that a route refers to.
    eventually("each resource has its ConfigMap", MINUTE, async || {
        let made = names(&plane, "configmap", &documents).await?;
        anyhow::ensure!(made.len() == 7, "{made:?}");
        Ok(())
    })
    .await;
    let maps = plane.kubectl(&["get", "configmap", "-A", "-o", "yaml"]).await.unwrap().ok().unwrap();
    assert!(!maps.contains("replace-me"), "a key is in a ConfigMap");

    plane.kubectl(&["delete", "deepseekroute", "flash"]).await.unwrap().ok().unwrap();
    eventually("the ConfigMap of a deleted route goes", MINUTE, async || {
        let made = names(&plane, "configmap", &documents).await?;
        anyhow::ensure!(made.len() == 6, "{made:?}");
        Ok(())
    })
    .await;
    assert_eq!(refused(&plane), Vec::<String>::new());

    // The operator still runs, as it does for some seconds while its pods end.
    plane.helm(&["uninstall", "deepseek-operator", "--namespace", SYSTEM]).await.unwrap().ok().unwrap();
    eventually("nothing is left in the namespace", MINUTE, async || {
        let left = left_in(&plane, SYSTEM).await?;
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await;
    drop(operator);
}

#[tokio::test]
async fn roles_in_chosen_namespaces_are_enough_to_work_there() {
    let plane = ControlPlane::start().await.unwrap();
    install(&plane, &["--set", "watchNamespaces={default}"]).await.unwrap();
    let _operator = operator(&plane, &["--watch-namespaces", "default,deepseek-system"]).await;
    apply(&plane, "quickstart").await;

    accepted(&plane, 1).await;
    eventually("the gateway has its Deployment", Duration::from_secs(30), async || {
        let made = names(&plane, "deployment", &["-n", SYSTEM, "-l", "deepseekroute.io/gateway"]).await?;
        anyhow::ensure!(made.len() == 1, "{made:?}");
        Ok(())
    })
    .await;
    assert_eq!(refused(&plane), Vec::<String>::new());
}
