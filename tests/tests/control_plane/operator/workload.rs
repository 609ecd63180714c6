//! The objects that a gateway consists of.

use super::support::{GATEWAY, Room, SOON};
use anyhow::{Context as _, ensure};
use deepseek_crds::v1alpha1::DeepSeekGateway;
use deepseek_tests::kubernetes::eventually;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

const KINDS: [&str; 8] = [
    "deployment.apps/gw-gateway",
    "horizontalpodautoscaler.autoscaling/gw-gateway",
    "networkpolicy.networking.k8s.io/gw-gateway",
    "poddisruptionbudget.policy/gw-gateway",
    "role.rbac.authorization.k8s.io/gw-gateway",
    "rolebinding.rbac.authorization.k8s.io/gw-gateway",
    "service/gw",
    "serviceaccount/gw-gateway",
];

/// Waits until the gateway consists of these objects and no others.
async fn consists_of(room: &Room, wanted: &[&str]) {
    let kinds = "deploy,hpa,netpol,pdb,role,rolebinding,svc,sa";
    let list = ["get", kinds, "-n", &room.namespace, "-l", "deepseekroute.io/gateway=gw", "-o", "name"];
    eventually(&format!("the gateway consists of {wanted:?}"), SOON, async || {
        let listed = room.installation.kubectl(&list).await?.ok()?;
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        ensure!(listed == wanted, "{listed:?}");
        Ok(())
    })
    .await;
}

async fn replicas(room: &Room) -> anyhow::Result<i32> {
    let deployment = room.api::<Deployment>().get("gw-gateway").await?;
    deployment.spec.and_then(|spec| spec.replicas).context("no replicas")
}

#[tokio::test]
async fn a_gateway_has_its_objects_and_loses_those_that_are_turned_off() {
    let (room, _operator) = Room::with_operator("objects").await;
    room.apply(GATEWAY).await;
    consists_of(&room, &KINDS).await;

    room.patch(
        "deepseekgateway/gw",
        r#"{"spec": {"replicas": {"min": 1, "max": 1}, "networkPolicy": {"enabled": false}}}"#,
    )
    .await;

    let left: Vec<&str> = KINDS
        .into_iter()
        .filter(|k| !["horizontal", "networkpolicy", "poddisruption"].iter().any(|off| k.starts_with(off)))
        .collect();
    consists_of(&room, &left).await;

    room.patch(
        "deepseekgateway/gw",
        r#"{"spec": {"replicas": {"min": 2, "max": 4}, "networkPolicy": null}}"#,
    )
    .await;
    consists_of(&room, &KINDS).await;
}

#[tokio::test]
async fn a_gateway_starts_with_its_smallest_size_and_leaves_the_rest_to_the_autoscaler() {
    let (room, _operator) = Room::with_operator("replicas").await;
    room.apply(
        "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: gw}
spec: {replicas: {min: 3, max: 9}}
",
    )
    .await;
    consists_of(&room, &KINDS).await;
    eventually("there are three pods", SOON, async || {
        ensure!(replicas(&room).await? == 3, "{}", replicas(&room).await?);
        Ok(())
    })
    .await;

    // As the autoscaler does.
    let scale = ["scale", "deployment/gw-gateway", "--replicas=7", "-n", &room.namespace];
    room.installation.kubectl(&scale).await.unwrap().ok().unwrap();
    room.patch("deepseekgateway/gw", r#"{"spec": {"logLevel": "Debug", "image": "example.org/gateway:2"}}"#)
        .await;
    eventually("the new image is rolled out with as many pods", SOON, async || {
        let deployment = room.api::<Deployment>().get("gw-gateway").await?;
        let spec = deployment.spec.context("no spec")?;
        let image = spec.template.spec.and_then(|pod| pod.containers[0].image.clone());
        ensure!(image.as_deref() == Some("example.org/gateway:2"), "{image:?}");
        ensure!(spec.replicas == Some(7), "{:?}", spec.replicas);
        Ok(())
    })
    .await;

    // A fixed size, and back: the number never falls to 1 in between.
    room.patch("deepseekgateway/gw", r#"{"spec": {"replicas": {"min": 5, "max": 5}}}"#).await;
    eventually("there are five", SOON, async || {
        ensure!(replicas(&room).await? == 5, "{}", replicas(&room).await?);
        Ok(())
    })
    .await;
    room.patch("deepseekgateway/gw", r#"{"spec": {"replicas": {"min": 4, "max": 8}}}"#).await;
    consists_of(&room, &KINDS).await;
    assert_eq!(replicas(&room).await.unwrap(), 5);
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_by_hand_is_put_right() {
    let (room, _operator) = Room::with_operator("byhand").await;
    room.apply(GATEWAY).await;
    consists_of(&room, &KINDS).await;

    room.delete("rolebinding/gw-gateway").await;
    room.patch("service/gw", r#"{"spec": {"ports": [{"name": "http", "port": 9}]}}"#).await;
    room.patch("role/gw-gateway", r#"{"rules": []}"#).await;

    consists_of(&room, &KINDS).await;
    eventually("role and service are as they were", SOON, async || {
        let service = room.api::<Service>().get("gw").await?;
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        ensure!(ports.len() == 1 && ports[0].port == 8080, "{ports:?}");
        let role = room.api::<k8s_openapi::api::rbac::v1::Role>().get("gw-gateway").await?;
        ensure!(role.rules.unwrap_or_default().len() == 2, "no rules");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_service_of_somebody_else_stays_his_and_the_gateway_says_so() {
    let (room, _operator) = Room::with_operator("hijack").await;
    let create = ["create", "service", "clusterip", "gw", "--tcp=1234:1234", "-n", &room.namespace];
    room.installation.kubectl(&create).await.unwrap().ok().unwrap();
    room.apply(GATEWAY).await;

    let programmed = room.condition::<DeepSeekGateway>("gw", "Programmed", "False", "Conflicted").await;
    assert!(programmed.message.contains("Service"), "{programmed:?}");
    let service = room.api::<Service>().get("gw").await.unwrap();
    assert_eq!(service.spec.unwrap().ports.unwrap()[0].port, 1234);
}
