//! The operator as a process: flags, probes, metrics, logs, signals.

use super::support::{GATEWAY, Room, SOON, route, secret};
use anyhow::ensure;
use deepseek_crds::v1alpha1::DeepSeekRoute;
use deepseek_tests::binaries::bin;
use deepseek_tests::kubernetes::eventually;
use deepseek_tests::operator::{Installation, Operator};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn help_names_every_flag_with_its_default() {
    let output = Command::new(bin("deepseek-operator")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let flags = [
        "--namespace",
        "--image",
        "--watch-namespaces",
        "--admin-address",
        "--log-level",
        "--leader-elect",
        "--workers",
    ];
    for flag in flags {
        assert!(help.contains(flag), "{flag} is not in\n{help}");
    }
    assert!(help.contains("[default: 0.0.0.0:8081]"), "{help}");
}

#[test]
fn without_an_api_server_it_says_what_it_looked_for() {
    let output = Command::new(bin("deepseek-operator"))
        .args(["run", "--admin-address", "127.0.0.1:0"])
        .env("KUBECONFIG", "/nonexistent")
        .env("HOME", "/nonexistent")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(log.contains("kubeconfig"), "{log}");
}

#[tokio::test]
async fn what_it_may_not_do_and_what_is_not_defined_is_named() {
    let installation = Installation::shared().await.unwrap();
    let namespace = installation.namespace("powerless").await.unwrap();
    let kubeconfig = installation.kubeconfig_for_service_account(&namespace, "default").await.unwrap();

    let watch = format!("--watch-namespaces={namespace}");
    let operator = Operator::spawn(&kubeconfig, &[&watch]).await.unwrap();

    eventually("/readyz names what is missing", SOON, async || {
        let (status, text) = operator.admin("/readyz").await?;
        ensure!(status == 503, "{status}: {text}");
        for missing in [
            format!("not permitted to patch deepseekroutes/status.deepseekroute.io in namespace {namespace}"),
            format!("not permitted to watch secrets in namespace {namespace}"),
        ] {
            ensure!(text.contains(&missing), "{missing:?} is not in {text}");
        }
        Ok(())
    })
    .await;
    let (live, _) = operator.admin("/livez").await.unwrap();
    assert_eq!(live, 200);
    let told = operator.records().unwrap();
    assert!(
        told.iter().any(|record| record["problem"].as_str().is_some_and(|p| p.contains("watch secrets")))
    );
}

#[tokio::test]
async fn it_shows_its_work_in_metrics_and_ends_cleanly_on_sigterm() {
    let (room, mut operator) = Room::with_operator("process").await;
    let manifests =
        [GATEWAY, &secret("deepseek", "sk-of-the-account"), &route("a-route-of-mine", "chat", "deepseek")]
            .concat();
    room.apply(&manifests).await;
    room.condition::<DeepSeekRoute>("a-route-of-mine", "Accepted", "True", "Accepted").await;

    let (status, text) = operator.admin("/metrics").await.unwrap();
    assert_eq!(status, 200);
    for series in [
        "controller_runtime_reconcile_total{controller=\"route\",result=\"success\"}",
        "controller_runtime_reconcile_time_seconds_bucket{",
        "workqueue_depth{name=\"reconcile\"}",
        "deepseek_operator_watch_events_total{kind=\"DeepSeekRoute\"}",
        "deepseek_operator_writes_total{kind=\"ConfigMap\",result=\"created\"}",
        "deepseek_operator_status_writes_total{kind=\"DeepSeekRoute\",result=\"changed\"}",
        "deepseek_operator_resources{kind=\"DeepSeekRoute\"} 1",
        "deepseek_operator_leader 1",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
    assert!(!text.contains("a-route-of-mine"), "names of objects are no labels");

    let told = Instant::now();
    operator.signal("TERM").unwrap();
    let status = operator.exited(SOON).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(told.elapsed() < Duration::from_secs(3), "it took {:?}", told.elapsed());
    // Every line is JSON with a level and a message.
    for record in operator.records().unwrap() {
        assert!(record["level"].is_string() && record["message"].is_string(), "{record}");
    }
}
