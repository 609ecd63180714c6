//! What the other tests here rely on.

use std::time::Duration;

use deepseek_tests::kubernetes::{ControlPlane, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn an_unprivileged_service_account_is_refused() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("refused").await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await.unwrap(), &namespace);
    let nobody = ServiceAccount {
        metadata: ObjectMeta { name: Some("nobody".to_owned()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    accounts.create(&PostParams::default(), &nobody).await.unwrap();

    let client = plane.client_for_service_account(&namespace, "nobody").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let error = maps.create(&PostParams::default(), &config_map("mine")).await.unwrap_err();

    let kube::Error::Api(status) = error else { panic!("not an answer of the API server: {error}") };
    assert_eq!(status.code, 403, "{status:?}");
    let user = format!("system:serviceaccount:{namespace}:nobody");
    assert!(status.message.contains(&user), "{status:?}");
    let refused = eventually("the audit log shows the refusal", Duration::from_secs(10), async || {
        let mut writes = plane.writes()?.into_iter();
        writes.find(|write| write.user == user).ok_or_else(|| anyhow::anyhow!("no write of {user}"))
    })
    .await;
    assert_eq!(
        (refused.verb.as_str(), refused.resource.as_str(), refused.code),
        ("create", "configmaps", 403)
    );
}

#[tokio::test]
async fn kubectl_sees_what_a_client_made() {
    let plane = ControlPlane::shared().await.unwrap();
    let namespace = plane.namespace("kubectl").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.client().await.unwrap(), &namespace);
    maps.create(&PostParams::default(), &config_map("made")).await.unwrap();

    let listed =
        plane.kubectl(&["get", "configmaps", "-o", "name", "-n", &namespace]).await.unwrap().ok().unwrap();

    assert!(listed.lines().any(|line| line == "configmap/made"), "{listed}");
}

#[tokio::test]
async fn the_api_server_can_go_away_and_come_back_with_its_data() {
    let plane = ControlPlane::start().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.client().await.unwrap(), "default");
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();

    plane.stop_api_server().unwrap();
    let error = maps.get("kept").await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "answered while it was away: {error}");

    plane.start_api_server().await.unwrap();
    let kept = maps.get("kept").await.unwrap();
    assert_eq!(kept.metadata.name.as_deref(), Some("kept"));
}

#[tokio::test]
async fn dropping_a_control_plane_removes_its_folder_and_its_programs() {
    let plane = ControlPlane::start().await.unwrap();
    let folder = plane.kubeconfig().parent().unwrap().to_owned();
    let marker = folder.to_str().unwrap().to_owned();
    assert!(!command_lines_with(&marker).is_empty(), "its programs name their folder");

    drop(plane);

    assert!(!folder.exists(), "{} is still there", folder.display());
    assert_eq!(command_lines_with(&marker), Vec::<String>::new());
}

/// The command lines of all running processes that contain `marker`.
fn command_lines_with(marker: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(marker))
        .collect()
}
