//! What breaks around the operator, and what it makes of it.

use super::support::{GATEWAY, SOON, route, secret};
use anyhow::ensure;
use deepseek_crds::reference_grant::ReferenceGrant;
use deepseek_crds::v1alpha1::DeepSeekRoute;
use deepseek_tests::kubernetes::eventually;
use deepseek_tests::operator::{Installation, Operator};
use kube::core::DynamicObject;
use kube::{Api, CustomResourceExt as _};
use serde_json::{Value, json};

async fn apply(installation: &Installation, namespace: &str, manifests: &str) {
    let path = std::env::temp_dir().join(format!("{namespace}-faults.yaml"));
    std::fs::write(&path, manifests).unwrap();
    let command = ["apply", "-n", namespace, "-f", path.to_str().unwrap()];
    // A definition that was just changed is refused for a moment by an API server that has not heard of it.
    eventually("the manifests are applied", SOON, async || installation.kubectl(&command).await?.ok()).await;
}

/// Status and reason of a condition of a route.
async fn condition(installation: &Installation, namespace: &str, name: &str, type_: &str, wanted: &str) {
    let path = format!(
        "jsonpath={{range .status.conditions[?(@.type==\"{type_}\")]}}{{.status}} {{.reason}}{{end}}"
    );
    let command = ["get", "deepseekroute", name, "-n", namespace, "-o", &path];
    eventually(&format!("{type_} of {name} is {wanted}"), SOON, async || {
        let told = installation.kubectl(&command).await?.ok()?;
        ensure!(told == wanted, "{told}");
        Ok(())
    })
    .await;
}

fn quickstart() -> String {
    [GATEWAY, &secret("deepseek", "sk-of-the-account"), &route("chat", "deepseek-chat", "deepseek")].concat()
}

#[tokio::test]
async fn the_operator_goes_on_when_the_api_server_is_back() {
    let installation = Installation::start().await.unwrap();
    let namespace = installation.namespace("away").await.unwrap();
    let operator = Operator::start(&installation, &[&namespace]).await.unwrap();
    apply(&installation, &namespace, &quickstart()).await;
    condition(&installation, &namespace, "chat", "Accepted", "True Accepted").await;

    installation.stop_api_server().unwrap();
    eventually("the operator notices", SOON, async || {
        ensure!(operator.log().contains("watch failed"), "it does not");
        Ok(())
    })
    .await;
    let (live, _) = operator.admin("/livez").await.unwrap();
    assert_eq!(live, 200, "a restart would not bring the API server back");
    installation.start_api_server().await.unwrap();

    apply(&installation, &namespace, &route("after", "after", "deepseek")).await;
    condition(&installation, &namespace, "after", "Accepted", "True Accepted").await;
    installation.kubectl(&["delete", "deepseekroute", "chat", "-n", &namespace]).await.unwrap().ok().unwrap();
    eventually("the deleted route's document goes", SOON, async || {
        let list =
            ["get", "configmap", "-n", &namespace, "-l", "deepseekroute.io/owner-name=chat", "-o", "name"];
        let left = installation.kubectl(&list).await?.ok()?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_stored_resource_that_cannot_be_read_says_so_alone() {
    let installation = Installation::start().await.unwrap();
    let namespace = installation.namespace("malformed").await.unwrap();
    // As an old version of the definition might have let it through.
    let definition = "deepseekroutes.deepseekroute.io";
    let loose = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
        }
    }}]);
    let strict: Value = serde_json::to_value(DeepSeekRoute::crd()).unwrap()["spec"]["versions"][0]["schema"]
        ["openAPIV3Schema"]
        .clone();
    let patch = ["patch", "crd", definition, "--type=json", "-p"];
    installation.kubectl(&[&patch[..], &[&loose.to_string()]].concat()).await.unwrap().ok().unwrap();
    let malformed = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: malformed}
spec: {model: 7, backends: [{name: b, baseUrl: 'http://b:8000/v1'}]}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: hopeless}
spec: {model: m, backends: none}
---
";
    apply(&installation, &namespace, malformed).await;
    let strict =
        json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": strict}]);
    installation.kubectl(&[&patch[..], &[&strict.to_string()]].concat()).await.unwrap().ok().unwrap();

    let _operator = Operator::start(&installation, &[&namespace]).await.unwrap();
    apply(&installation, &namespace, &quickstart()).await;

    condition(&installation, &namespace, "chat", "Accepted", "True Accepted").await;
    condition(&installation, &namespace, "malformed", "Accepted", "False Invalid").await;
    // The API server writes no status of something that its rules cannot even be asked about.
    let events = ["get", "events.events.k8s.io", "-n", &namespace, "-o", "jsonpath={.items[*].note}"];
    eventually("an Event tells of the other one", SOON, async || {
        let notes = installation.kubectl(&events).await?.ok()?;
        ensure!(notes.contains("Expected a sequence"), "{notes}");
        Ok(())
    })
    .await;
    for name in ["malformed", "hopeless"] {
        apply(&installation, &namespace, &route(name, name, "deepseek")).await;
        condition(&installation, &namespace, name, "Accepted", "True Accepted").await;
    }
}

#[tokio::test]
async fn a_grant_opens_a_backend_of_another_namespace_and_its_end_withdraws_it() {
    let installation = Installation::start().await.unwrap();
    let (routes, accounts) =
        (installation.namespace("routes").await.unwrap(), installation.namespace("accounts").await.unwrap());
    let mut definition = ReferenceGrant::crd();
    let approval = ("api-approved.kubernetes.io".to_owned(), "unapproved, for tests".to_owned());
    definition.metadata.annotations = Some([approval].into());
    installation.apply(&serde_json::to_string(&definition).unwrap()).await.unwrap().ok().unwrap();
    eventually("ReferenceGrant is served", SOON, async || {
        installation.kubectl(&["get", "referencegrants", "-A"]).await?.ok()
    })
    .await;
    let backend = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {name: account}
spec: {baseUrl: 'http://vllm:8000/v1'}
---
";
    let foreign = format!(
        "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec: {{model: chat, backends: [{{name: b, backendRef: {{name: account, namespace: {accounts}}}}}]}}
---
"
    );
    let grant = format!(
        "
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: routes}}
spec:
  from: [{{group: deepseekroute.io, kind: DeepSeekRoute, namespace: {routes}}}]
  to: [{{group: deepseekroute.io, kind: DeepSeekBackend}}]
---
"
    );
    let _operator = Operator::start(&installation, &[&routes, &accounts]).await.unwrap();
    apply(&installation, &routes, &[GATEWAY, &foreign].concat()).await;
    apply(&installation, &accounts, backend).await;
    condition(&installation, &routes, "chat", "ResolvedRefs", "False BackendNotFound").await;

    apply(&installation, &accounts, &grant).await;
    condition(&installation, &routes, "chat", "ResolvedRefs", "True ResolvedRefs").await;
    let documents = [
        "get",
        "configmap",
        "-n",
        &routes,
        "-l",
        "deepseekroute.io/owner-name in (chat,account)",
        "-o",
        "name",
    ];
    eventually("route and backend have documents", SOON, async || {
        let made = installation.kubectl(&documents).await?.ok()?;
        ensure!(made.lines().count() == 2, "{made}");
        Ok(())
    })
    .await;

    installation
        .kubectl(&["delete", "referencegrant", "routes", "-n", &accounts])
        .await
        .unwrap()
        .ok()
        .unwrap();
    condition(&installation, &routes, "chat", "ResolvedRefs", "False BackendNotFound").await;
    eventually("what is not permitted any more is withdrawn", SOON, async || {
        let left = installation.kubectl(&documents).await?.ok()?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await;
    let routes: Api<DynamicObject> = Api::namespaced_with(
        installation.client().await.unwrap(),
        &routes,
        &kube::core::ApiResource::erase::<DeepSeekRoute>(&()),
    );
    let told = routes.get("chat").await.unwrap().data["status"].to_string();
    assert!(!told.contains("ServingLastGood"), "{told}");
}
