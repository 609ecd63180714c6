//! What status says: conditions and reasons, what pods loaded, how backends are.

use super::support::{GATEWAY, Room, SOON, route, secret};
use anyhow::{Context as _, ensure};
use deepseek_config::document::Kind;
use deepseek_config::report::{BackendReport, RouteReport};
use deepseek_crds::v1alpha1::{
    BackendState, DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute,
};
use deepseek_tests::kubernetes::eventually;
use deepseek_tests::operator::{FakePod, GatewayPod};
use kube::Api;

fn quickstart() -> String {
    [GATEWAY, &secret("deepseek", "sk-of-the-account"), &route("chat", "deepseek-chat", "deepseek")].concat()
}

async fn route_status(
    room: &Room,
    name: &str,
) -> anyhow::Result<deepseek_crds::v1alpha1::DeepSeekRouteStatus> {
    room.api::<DeepSeekRoute>().get(name).await?.status.context("no status")
}

#[tokio::test]
async fn a_real_gateway_pod_loads_the_route_and_status_says_so() {
    let (room, _operator) = Room::with_operator("programmed").await;
    let manifest = quickstart().replace(
        "max: 3}}",
        &format!("max: 3}}, listeners: [{{name: http, port: {}, protocol: HTTP}}]}}", room.free_port()),
    );
    room.apply(&manifest).await;
    let _pod = GatewayPod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap();

    room.condition::<DeepSeekRoute>("chat", "Programmed", "True", "Programmed").await;
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;
    room.condition::<DeepSeekGateway>("gw", "Ready", "True", "Ready").await;
    let status = route_status(&room, "chat").await.unwrap();
    assert_eq!(status.gateways.as_deref(), Some("1/1"));
    assert_eq!(status.healthy_backends.as_deref(), Some("1/1"));

    room.patch("deepseekroute/chat", r#"{"spec": {"model": "deepseek-v4-pro"}}"#).await;
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;
    let events = ["get", "events.events.k8s.io", "-n", &room.namespace, "-o", "jsonpath={.items[*].reason}"];
    eventually("an Event tells that the route is ready", SOON, async || {
        let reasons = room.installation.kubectl(&events).await?.ok()?;
        ensure!(reasons.split(' ').any(|reason| reason == "Ready"), "{reasons}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn programmed_counts_ready_pods_and_names_the_one_that_refuses() {
    let (room, _operator) = Room::with_operator("pods").await;
    room.apply(&quickstart()).await;
    let first = FakePod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap();
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;

    let picky = |document: &deepseek_config::document::Document| {
        (document.id.kind == Kind::Route).then(|| "the model is too large".to_owned())
    };
    let second = FakePod::start_with(room.installation, &room.namespace, "gw", "gw-1", picky).await.unwrap();
    let refused = room.condition::<DeepSeekRoute>("chat", "Programmed", "False", "RefusedByGateway").await;
    assert!(
        refused.message.contains("gw-1") && refused.message.contains("the model is too large"),
        "{refused:?}"
    );
    room.condition::<DeepSeekRoute>("chat", "Ready", "False", "RefusedByGateway").await;
    assert_eq!(route_status(&room, "chat").await.unwrap().gateways.as_deref(), Some("1/2"));

    second.set_ready(false).await.unwrap();
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;
    assert_eq!(route_status(&room, "chat").await.unwrap().gateways.as_deref(), Some("1/1"));

    first.delete().await.unwrap();
    room.condition::<DeepSeekRoute>("chat", "Ready", "False", "NoGatewayPods").await;
    room.condition::<DeepSeekGateway>("gw", "Ready", "False", "NoGatewayPods").await;
}

#[tokio::test]
async fn a_pod_that_hangs_behind_keeps_programmed_pending() {
    let (room, _operator) = Room::with_operator("pending").await;
    room.apply(&quickstart()).await;
    let pod = FakePod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap();
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;

    pod.stop_loading();
    room.patch("deepseekroute/chat", r#"{"spec": {"model": "deepseek-v4-pro"}}"#).await;
    let pending = room.condition::<DeepSeekRoute>("chat", "Programmed", "False", "Pending").await;
    assert!(pending.message.contains("0 of 1"), "{pending:?}");
}

#[tokio::test]
async fn the_worst_state_of_a_backend_and_its_traffic_are_shown() {
    let (room, _operator) = Room::with_operator("health").await;
    room.apply(&quickstart()).await;
    let pods = [
        FakePod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap(),
        FakePod::start(room.installation, &room.namespace, "gw", "gw-1").await.unwrap(),
    ];
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;

    let route = room.id(Kind::Route, "chat");
    let backend = |state, reason: Option<&str>| BackendReport {
        route: route.clone(),
        name: "official".to_owned(),
        account: None,
        state,
        reason: reason.map(str::to_owned),
        since: Some("2026-01-02T03:04:05Z".to_owned()),
    };
    pods[0].report(|report| {
        report.backends = vec![backend(BackendState::Healthy, None)];
        report.routes = vec![RouteReport { route: route.clone(), requests: 5, quota_used_percent: Some(37) }];
    });
    pods[1].report(|report| report.backends = vec![backend(BackendState::Open, Some("ConnectFailure"))]);

    room.condition::<DeepSeekRoute>("chat", "Ready", "False", "NoHealthyBackend").await;
    let status = route_status(&room, "chat").await.unwrap();
    assert_eq!(status.healthy_backends.as_deref(), Some("0/1"));
    assert_eq!(status.backends[0].state, BackendState::Open);
    assert_eq!(status.backends[0].reason.as_deref(), Some("ConnectFailure"));
    assert_eq!(status.backends[0].since.as_ref().unwrap().0.to_string(), "2026-01-02T03:04:05Z");

    pods[1].report(|report| report.backends.clear());
    room.condition::<DeepSeekRoute>("chat", "Ready", "True", "Ready").await;
    eventually("the quota's use is shown", SOON, async || {
        let traffic = route_status(&room, "chat").await?.traffic.context("no traffic yet")?;
        ensure!(traffic.quota_used.as_deref() == Some("37%"), "{traffic:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn each_mistake_has_its_reason_and_harms_nobody_else() {
    let (room, _operator) = Room::with_operator("mistakes").await;
    let other = room.installation.namespace("elsewhere").await.unwrap();
    let mistakes = format!("
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {{name: closed}}
spec: {{listeners: [{{name: https, port: 8443, protocol: HTTPS, tls: {{secretRef: {{name: no-such-certificate}}}}}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: no-gateway}}
spec: {{gatewayRef: {{name: nowhere}}, model: a, backends: [{{name: b, baseUrl: 'http://b:8000/v1'}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: no-backend}}
spec: {{model: b, backends: [{{name: b, backendRef: {{name: nothing}}}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: no-grant}}
spec: {{model: c, backends: [{{name: b, backendRef: {{name: account, namespace: {other}}}}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: no-model}}
spec: {{model: f, failover: {{fallback: {{model: second}}}}, backends: [{{name: b, baseUrl: 'http://b:8000/v1'}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: broken-backend}}
spec: {{model: d, backends: [{{name: b, backendRef: {{name: keyless}}}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {{name: keyless}}
spec: {{baseUrl: 'https://api.deepseek.com', apiKeys: [{{secretRef: {{name: no-such-secret, key: key}}}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: contradiction}}
spec: {{model: e, quota: [{{requests: 9, window: 1d, timeZone: Mars/Base}}], backends: [{{name: b, baseUrl: 'http://b:8000/v1'}}]}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {{name: short}}
spec: {{apiKeys: [{{secretRef: {{name: short, key: key}}}}]}}
---
");
    room.apply(&[quickstart(), secret("short", "tiny"), mistakes].concat()).await;

    room.condition::<DeepSeekRoute>("no-gateway", "Accepted", "False", "GatewayNotFound").await;
    room.condition::<DeepSeekRoute>("no-gateway", "Ready", "False", "NotAccepted").await;
    room.condition::<DeepSeekRoute>("no-backend", "ResolvedRefs", "False", "BackendNotFound").await;
    room.condition::<DeepSeekRoute>("no-grant", "ResolvedRefs", "False", "BackendNotFound").await;
    let no_model =
        room.condition::<DeepSeekRoute>("no-model", "ResolvedRefs", "False", "ModelNotFound").await;
    assert!(no_model.message.contains("spec.failover.fallback.model"), "{no_model:?}");
    room.condition::<DeepSeekRoute>("broken-backend", "ResolvedRefs", "False", "BackendInvalid").await;
    room.condition::<DeepSeekBackend>("keyless", "ResolvedRefs", "False", "SecretNotFound").await;
    room.condition::<DeepSeekRoute>("contradiction", "Accepted", "False", "Invalid").await;
    room.condition::<DeepSeekConsumer>("short", "ResolvedRefs", "False", "InvalidSecret").await;
    room.condition::<DeepSeekGateway>("closed", "ResolvedRefs", "False", "SecretNotFound").await;
    room.condition::<DeepSeekRoute>("chat", "Accepted", "True", "Accepted").await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "chat")]).await;

    // What it falls back on may come later.
    room.apply(&route("second", "second", "deepseek")).await;
    room.condition::<DeepSeekRoute>("no-model", "ResolvedRefs", "True", "ResolvedRefs").await;
    let all =
        [(Kind::Gateway, "gw"), (Kind::Route, "chat"), (Kind::Route, "no-model"), (Kind::Route, "second")];
    room.documents_of("gw", &all).await;
    room.delete("deepseekroute/second").await;
    room.condition::<DeepSeekRoute>("no-model", "Ready", "False", "ServingLastGood").await;
    room.delete("deepseekroute/no-model").await;

    // The younger of two with the same model waits until the older one is gone.
    room.apply(&route("second", "deepseek-chat", "deepseek")).await;
    room.condition::<DeepSeekRoute>("second", "Accepted", "False", "Conflicted").await;
    room.delete("deepseekroute/chat").await;
    room.condition::<DeepSeekRoute>("second", "Accepted", "True", "Accepted").await;
    room.documents_of("gw", &[(Kind::Gateway, "gw"), (Kind::Route, "second")]).await;
}

#[tokio::test]
async fn a_shared_backend_goes_before_its_routes_and_counts_them() {
    let (room, _operator) = Room::with_operator("shared").await;
    let routes: String = (0..3)
        .map(|n| {
            format!(
                "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: r{n}}}
spec: {{model: m{n}, backends: [{{name: b, backendRef: {{name: account}}}}]}}
---
"
            )
        })
        .collect();
    let backend = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {name: account}
spec: {baseUrl: 'https://api.deepseek.com', apiKeys: [{secretRef: {name: deepseek, key: key}}]}
";
    room.apply(&[GATEWAY, &secret("deepseek", "sk-of-the-account"), &routes, backend].concat()).await;

    let wanted = [
        (Kind::Gateway, "gw"),
        (Kind::Backend, "account"),
        (Kind::Route, "r0"),
        (Kind::Route, "r1"),
        (Kind::Route, "r2"),
    ];
    room.documents_of("gw", &wanted).await;
    let backends: Api<DeepSeekBackend> = room.api();
    eventually("the backend counts its routes", SOON, async || {
        let status = backends.get("account").await?.status.context("no status")?;
        ensure!(status.routes == Some(3), "{status:?}");
        Ok(())
    })
    .await;

    for n in 0..3 {
        room.delete(&format!("deepseekroute/r{n}")).await;
    }
    room.documents_of("gw", &[(Kind::Gateway, "gw")]).await;
    room.condition::<DeepSeekBackend>("account", "Programmed", "True", "Programmed").await;
}
