//! From resources to ConfigMaps and the Secret of projected keys, and away again.

use super::support::{GATEWAY, Room, SOON, route, secret};
use anyhow::ensure;
use deepseek_config::document::{Body, Kind};
use deepseek_crds::labels;
use deepseek_crds::v1alpha1::{DeepSeekConsumer, DeepSeekRoute};
use deepseek_tests::kubernetes::eventually;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use kube::api::ListParams;
use std::time::{Duration, Instant};

/// A gateway, a route on it, and the route's key.
fn quickstart() -> String {
    [GATEWAY, &secret("deepseek", "sk-first-of-the-account"), &route("chat", "deepseek-chat", "deepseek")]
        .concat()
}

#[tokio::test]
async fn a_route_becomes_a_document_and_its_key_is_projected() {
    let (room, _operator) = Room::with_operator("document").await;
    room.apply(&quickstart()).await;

    let documents = room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;
    let Body::Route(document) = &documents[&room.id(Kind::Route, "chat")].body else {
        panic!("{documents:?}")
    };
    assert_eq!(document.model, "deepseek-chat");
    let key = format!("{}_deepseek_key", room.namespace);
    assert_eq!(room.keys("gw").await.unwrap(), [(key, "sk-first-of-the-account".to_owned())].into());
    room.condition::<DeepSeekRoute>("chat", "Accepted", "True", "Accepted").await;
    room.condition::<DeepSeekRoute>("chat", "ResolvedRefs", "True", "ResolvedRefs").await;
    room.condition::<DeepSeekRoute>("chat", "Ready", "False", "NoGatewayPods").await;
}

#[tokio::test]
async fn no_key_leaves_the_operator_but_in_the_projected_secret() {
    let (room, operator) = Room::with_operator("secrecy").await;
    let consumer = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {name: app}
spec: {apiKeys: [{secretRef: {name: app, key: key}}]}
---
";
    let all = [&quickstart(), &secret("app", "the-key-of-the-application"), consumer].concat();
    room.apply(&all).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat"), (Kind::Consumer, "app")]).await;
    room.condition::<DeepSeekConsumer>("app", "Ready", "False", "NoGatewayPods").await;

    let everything = "configmaps,deepseekroutes,deepseekconsumers,deepseekgateways,events.events.k8s.io";
    let shown =
        room.installation.kubectl(&["get", everything, "-n", &room.namespace, "-o", "yaml"]).await.unwrap();
    for text in [shown.ok().unwrap(), operator.log()] {
        assert!(!text.contains("sk-first-of-the-account"), "the account's key is in {text}");
        assert!(!text.contains("the-key-of-the-application"), "the caller's key is in {text}");
    }
    // Of a caller's key only the hash goes out, and not as a secret.
    assert_eq!(room.keys("gw").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rotated_secret_reaches_the_gateway_without_a_new_document() {
    let (room, _operator) = Room::with_operator("rotation").await;
    room.apply(&quickstart()).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;
    let before = room.versions().await;

    room.apply(&secret("deepseek", "sk-second-of-the-account")).await;

    eventually("the new key is projected", SOON, async || {
        let keys = room.keys("gw").await?;
        ensure!(keys.values().eq(["sk-second-of-the-account"]), "it is not");
        Ok(())
    })
    .await;
    assert_eq!(room.versions().await, before);
}

#[tokio::test]
async fn the_document_of_a_deleted_route_is_gone_within_a_second() {
    let (room, _operator) = Room::with_operator("deletion").await;
    room.apply(&quickstart()).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;

    room.delete("deepseekroute/chat").await;
    let deleted = Instant::now();
    room.documents_of("gw", &[(Kind::Gateway, "gw")]).await;

    let took = deleted.elapsed();
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[tokio::test]
async fn what_was_deleted_and_made_anew_while_the_operator_was_down_is_put_right_when_it_is_back() {
    let (room, mut operator) = Room::with_operator("downtime").await;
    let more =
        [quickstart(), route("gone", "old-model", "deepseek"), route("anew", "model", "deepseek")].concat();
    room.apply(&more).await;
    let routes = [(Kind::Gateway, "gw"), (Kind::Route, "chat"), (Kind::Route, "gone"), (Kind::Route, "anew")];
    let before = room.documents_of("gw", &routes).await;
    operator.signal("KILL").unwrap();
    operator.exited(SOON).await.unwrap();

    room.delete("deepseekroute/gone").await;
    room.delete("deepseekroute/anew").await;
    room.apply(&route("anew", "another-model", "deepseek")).await;
    let _operator = room.operator().await;

    let anew = room.id(Kind::Route, "anew");
    eventually("only what is there has a document, and the right one", SOON, async || {
        let documents = room.documents("gw").await?;
        ensure!(documents.len() == 3 && documents[&anew].uid != before[&anew].uid, "{documents:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_route_that_moves_to_another_gateway_leaves_nothing_behind() {
    let (room, _operator) = Room::with_operator("moving").await;
    let other = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: other}
spec: {}
---
";
    room.apply(&[&quickstart(), other].concat()).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;

    let patch = r#"{"spec": {"gatewayRef": {"name": "other"}}}"#;
    room.patch("deepseekroute/chat", patch).await;

    room.documents_of("other", &[(Kind::Gateway, "other"), (Kind::Route, "chat")]).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw")]).await;
    assert_eq!(room.keys("other").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_change_and_a_vanished_secret_leave_the_last_good_in_force() {
    let (room, _operator) = Room::with_operator("lastgood").await;
    room.apply(&quickstart()).await;
    let before = room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;

    room.delete("secret/deepseek").await;
    room.condition::<DeepSeekRoute>("chat", "ResolvedRefs", "False", "SecretNotFound").await;
    let ready = room.condition::<DeepSeekRoute>("chat", "Ready", "False", "ServingLastGood").await;
    assert!(ready.message.contains("deepseek"), "{ready:?}");
    assert_eq!(room.documents("gw").await.unwrap(), before);
    assert_eq!(room.keys("gw").await.unwrap().len(), 1, "the last good document still names the key");

    room.apply(&secret("deepseek", "sk-back-again")).await;
    room.condition::<DeepSeekRoute>("chat", "ResolvedRefs", "True", "ResolvedRefs").await;
    eventually("the new key is projected", SOON, async || {
        let keys = room.keys("gw").await?;
        ensure!(keys.values().eq(["sk-back-again"]), "it is not");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn objects_of_somebody_else_are_reported_and_left_alone() {
    let room = Room::new("foreign").await;
    room.apply(&quickstart()).await;
    // Whoever finds out the name cannot have the operator overwrite an object of his.
    let operator = room.operator().await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;
    let name = room.versions().await.into_keys().find(|name| name.contains("dsr")).unwrap();
    drop(operator);
    room.delete("deepseekroute/chat").await;
    room.delete(&format!("configmap/{name}")).await;
    room.installation
        .kubectl(&["create", "configmap", &name, "-n", &room.namespace, "--from-literal=mine=yes"])
        .await
        .unwrap()
        .ok()
        .unwrap();
    let _operator = room.operator().await;
    room.apply(&route("chat", "deepseek-chat", "deepseek")).await;

    let programmed = room.condition::<DeepSeekRoute>("chat", "Programmed", "False", "Conflicted").await;
    assert!(programmed.message.contains(&name), "{programmed:?}");
    let map = room.api::<ConfigMap>().get(&name).await.unwrap();
    assert_eq!(map.data, Some([("mine".to_owned(), "yes".to_owned())].into()));

    room.delete(&format!("configmap/{name}")).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;
}

#[tokio::test]
async fn a_document_changed_by_hand_and_keys_deleted_by_hand_are_put_right() {
    let (room, _operator) = Room::with_operator("drift").await;
    room.apply(&quickstart()).await;
    let before = room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;
    let name = room.versions().await.into_keys().find(|name| name.contains("dsr")).unwrap();

    room.patch(&format!("configmap/{name}"), r#"{"data": {"config.json": "{}"}}"#).await;
    room.delete(&format!("secret/{}", labels::keys_secret("gw"))).await;

    eventually("both are as they were", SOON, async || {
        ensure!(room.documents("gw").await? == before, "another document");
        ensure!(room.keys("gw").await?.len() == 1, "no key");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_writes_nothing_when_all_is_well() {
    let (room, mut operator) = Room::with_operator("rest").await;
    room.apply(&quickstart()).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;
    room.condition::<DeepSeekRoute>("chat", "Ready", "False", "NoGatewayPods").await;
    eventually("the gateway's status counts the route", SOON, async || {
        let shown =
            ["get", "deepseekgateway", "gw", "-n", &room.namespace, "-o", "jsonpath={.status.routes}"];
        let routes = room.installation.kubectl(&shown).await?.ok()?;
        ensure!(routes == "1", "{routes}");
        Ok(())
    })
    .await;
    operator.signal("TERM").unwrap();
    operator.exited(SOON).await.unwrap();

    let operator = room.operator().await;
    eventually("everything was looked at", SOON, async || {
        for controller in ["gateway", "route", "keys"] {
            let series = format!(
                "controller_runtime_reconcile_total{{controller=\"{controller}\",result=\"success\"}}"
            );
            ensure!(operator.metric(&series).await? >= 1.0, "no visit of {controller}\n{}", operator.log());
        }
        ensure!(operator.metric("workqueue_depth{name=\"reconcile\"}").await? == 0.0, "work is left");
        Ok(())
    })
    .await;
    let (_, metrics) = operator.admin("/metrics").await.unwrap();
    let writes: Vec<&str> = metrics
        .lines()
        .filter(|line| {
            line.starts_with("deepseek_operator_writes_total")
                || line.starts_with("deepseek_operator_status_writes_total")
        })
        .filter(|line| !line.contains("result=\"unchanged\""))
        .collect();
    assert_eq!(writes, Vec::<&str>::new());
}

#[tokio::test]
async fn everything_of_a_deleted_gateway_goes_with_it() {
    let (room, _operator) = Room::with_operator("demise").await;
    room.apply(&quickstart()).await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;

    room.delete("deepseekgateway/gw").await;

    room.condition::<DeepSeekRoute>("chat", "Accepted", "False", "GatewayNotFound").await;
    eventually("nothing of it is left", SOON, async || {
        let ours = ListParams::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
        let maps = room.api::<ConfigMap>().list(&ours).await?.items;
        ensure!(maps.is_empty(), "{:?}", maps.iter().map(ConfigMap::name_any).collect::<Vec<_>>());
        ensure!(room.api::<Secret>().list(&ours).await?.items.is_empty(), "the projected keys");
        Ok(())
    })
    .await;
}
