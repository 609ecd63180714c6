//! The custom resource definitions on a real API server: it takes them, refuses what they refuse in words that a person
//! understands, and kubectl shows them well.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]
#![expect(clippy::needless_pass_by_value, reason = "specs are written in place")]

use std::{fs, path::Path, time::Duration};

use deepseek_crds::v1alpha1::{DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute};
use deepseek_tests::kubernetes::{ControlPlane, eventually};
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The definitions as they are checked in.
fn definitions() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/yaml");
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    files.collect::<Vec<_>>().join("---\n")
}

/// The shared control plane, with the definitions in it.
async fn plane() -> anyhow::Result<&'static ControlPlane> {
    // Once a process: of two that create a definition at the same time, kubectl fails one.
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await?;
    let install = async || {
        plane.apply(&definitions()).await?.ok()?;
        let established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
        plane.kubectl(&established).await?.ok()
    };
    INSTALLED.get_or_try_init(async || install().await.map(drop)).await?;
    Ok(plane)
}

async fn api<K: Resource<DynamicType = ()>>(plane: &ControlPlane, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(plane.client().await.unwrap(), namespace, &ApiResource::erase::<K>(&()))
}

fn object<K: Resource<DynamicType = ()>>(name: &str, spec: Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, &ApiResource::erase::<K>(&()));
    object.data = json!({"spec": spec});
    object
}

/// What the API server says of objects with each of `specs`, which must be refused.
async fn check<K: Resource<DynamicType = ()>>(plane: &ControlPlane, cases: &[(Value, &str)]) {
    let namespace = plane.namespace("refused").await.unwrap();
    let api = api::<K>(plane, &namespace).await;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for (spec, expected) in cases {
        match api.create(&dry_run, &object::<K>("it", spec.clone())).await {
            Ok(_) => panic!("taken: {spec}"),
            Err(kube::Error::Api(status)) => {
                assert!(status.message.contains(expected), "{spec}\n{}", status.message);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn route(fields: Value) -> Value {
    let mut spec = json!({"model": "m", "backends": [{"name": "a", "baseUrl": "https://a.example"}]});
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

#[tokio::test]
async fn the_definitions_are_taken_and_come_back_as_they_are_checked_in() {
    let plane = plane().await.unwrap();
    let problems = plane
        .kubectl(&[
            "get",
            "crd",
            "-o",
            "jsonpath={.items[*].status.conditions[?(@.type==\"NonStructuralSchema\")].message}",
        ])
        .await
        .unwrap();
    assert_eq!(problems.ok().unwrap(), "");
    // Applied again, nothing changes: what is checked in has the form that the API server keeps.
    let again = plane.apply(&definitions()).await.unwrap().ok().unwrap();
    assert_eq!(again.lines().filter(|line| line.ends_with(" unchanged")).count(), 4, "{again}");
}

#[tokio::test]
async fn malformed_routes_are_refused_with_words_that_help() {
    let plane = plane().await.unwrap();
    let backends = |backend: Value| route(json!({"backends": [backend]}));
    let quota = |quota: Value| route(json!({"quota": [quota]}));
    let cases = [
        (json!({"backends": [{"name": "a", "baseUrl": "https://a.example"}]}), "spec.model: Required value"),
        (json!({"model": "m"}), "spec.backends: Required value"),
        (route(json!({"backends": []})), "spec.backends in body should have at least 1 items"),
        (route(json!({"model": "a b"})), "spec.model in body should match"),
        (route(json!({"aliases": ["m"]})), "aliases must not repeat model"),
        (route(json!({"aliases": ["x", "x"]})), "Duplicate value: \"x\""),
        (backends(json!({"name": "a"})), "set exactly one of backendRef and baseUrl"),
        (
            backends(json!({"name": "a", "backendRef": {"name": "b"}, "flavor": "VLLM"})),
            "flavor, apiKey, tls and zone belong to baseUrl",
        ),
        (backends(json!({"name": "a", "baseUrl": "ftp://a"})), "spec.backends[0].baseUrl"),
        (
            backends(
                json!({"name": "a", "baseUrl": "http://a.example", "tls": {"caSecretRef": {"name": "c", "key": "k"}}}),
            ),
            "tls needs an https baseUrl",
        ),
        (
            backends(json!({"name": "a", "baseUrl": "https://a.example", "flavor": "vllm"})),
            "Unsupported value: \"vllm\": supported values: \"DeepSeek\"",
        ),
        (
            backends(json!({"name": "a", "baseUrl": "https://a.example", "weight": 0})),
            "at least one backend needs a weight above 0",
        ),
        (
            quota(json!({"requests": 1, "tokens": 1, "window": "1m"})),
            "set exactly one of requests, tokens and concurrent",
        ),
        (quota(json!({"requests": 1})), "requests and tokens need a window such as 1m"),
        (quota(json!({"requests": 0, "window": "1m"})), "should be greater than or equal to 1"),
        (
            quota(json!({"requests": 1, "window": "1h", "timeZone": "UTC"})),
            "timeZone goes with a window of days (d) or months (mo)",
        ),
        (route(json!({"timeouts": {"request": "soon"}})), "spec.timeouts.request in body should match"),
        (
            route(json!({"timeouts": {"request": "30s", "firstToken": "1m"}})),
            "spec.timeouts.firstToken: Invalid value: \"object\": firstToken must not be longer than request",
        ),
        (
            route(json!({"failover": {"backoff": {"base": "2s", "max": "1s"}}})),
            "base must not be longer than max",
        ),
        (route(json!({"failover": {"retryOn": ["Never"]}})), "Unsupported value: \"Never\""),
        (route(json!({"failover": {"attempts": 11}})), "should be less than or equal to 10"),
    ];
    check::<DeepSeekRoute>(plane, &cases).await;
}

#[tokio::test]
async fn malformed_gateways_backends_and_consumers_are_refused_with_words_that_help() {
    let plane = plane().await.unwrap();
    let listeners = |listeners: Value| json!({"listeners": listeners});
    let gateways = [
        (json!({"replicas": {"min": 3, "max": 2}}), "min must not be above max"),
        (
            listeners(
                json!([{"name": "a", "port": 8080, "protocol": "HTTP"}, {"name": "b", "port": 8080, "protocol": "HTTP"}]),
            ),
            "each listener needs a port of its own",
        ),
        (
            listeners(json!([{"name": "a", "port": 15021, "protocol": "HTTP"}])),
            "15020 and 15021 are the gateway's own ports",
        ),
        (
            listeners(json!([{"name": "a", "port": 80, "protocol": "HTTP"}])),
            "should be greater than or equal to 1024",
        ),
        (
            listeners(json!([{"name": "a", "port": 8443, "protocol": "HTTPS"}])),
            "tls goes with protocol HTTPS, and only with it",
        ),
        (json!({"pods": {"resources": {"limits": {"memory": "much"}}}}), "spec.pods.resources.limits.memory"),
        (
            json!({"pods": {"tolerations": [{"operator": "Maybe"}]}}),
            "supported values: \"Equal\", \"Exists\"",
        ),
    ];
    check::<DeepSeekGateway>(plane, &gateways).await;
    let backends = [
        (json!({}), "spec.baseUrl: Required value"),
        (json!({"baseUrl": "https://a.example?key=1"}), "spec.baseUrl in body should match"),
        (
            json!({"baseUrl": "http://a.example", "tls": {"caSecretRef": {"name": "c", "key": "k"}}}),
            "tls needs an https baseUrl",
        ),
    ];
    check::<DeepSeekBackend>(plane, &backends).await;
    let consumers = [
        (json!({"apiKeys": []}), "spec.apiKeys in body should have at least 1 items"),
        (json!({"apiKeys": [{"secretRef": {"name": "s"}}]}), "spec.apiKeys[0].secretRef.key: Required value"),
    ];
    check::<DeepSeekConsumer>(plane, &consumers).await;
}

#[tokio::test]
async fn names_that_would_not_fit_into_labels_are_refused() {
    let plane = plane().await.unwrap();
    let namespace = plane.namespace("names").await.unwrap();
    let api = api::<DeepSeekGateway>(plane, &namespace).await;
    let long = object::<DeepSeekGateway>(&"n".repeat(41), json!({}));
    let error = api.create(&PostParams::default(), &long).await.unwrap_err();
    assert!(error.to_string().contains("at most 40 characters"), "{error}");
}

#[tokio::test]
async fn unknown_fields_and_nulls_are_dropped_and_kubectl_warns_of_a_typing_mistake() {
    let plane = plane().await.unwrap();
    let namespace = plane.namespace("pruned").await.unwrap();
    let api = api::<DeepSeekRoute>(plane, &namespace).await;
    let spec = route(json!({"failvoer": {"attempts": 2}, "timeouts": null, "access": null}));
    let kept = api.create(&PostParams::default(), &object::<DeepSeekRoute>("pruned", spec)).await.unwrap();
    let fields: Vec<&String> = kept.data["spec"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["backends", "model"]);

    let manifest = format!(
        "apiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekRoute\nmetadata: {{name: typo, namespace: {namespace}}}\n\
         spec: {{modle: m, model: m, backends: [{{name: a, baseUrl: https://a.example}}]}}\n"
    );
    let refused = plane.apply(&manifest).await.unwrap();
    assert!(refused.stderr.contains("unknown field \"spec.modle\""), "{}", refused.stderr);
}

#[tokio::test]
async fn two_owners_may_each_apply_a_backend_of_the_same_route() {
    let plane = plane().await.unwrap();
    let namespace = plane.namespace("owners").await.unwrap();
    let api = api::<DeepSeekRoute>(plane, &namespace).await;
    for (manager, backend) in [("team", "official"), ("platform", "in-house")] {
        let mut part = object::<DeepSeekRoute>(
            "shared",
            json!({"model": "m", "backends": [{"name": backend, "baseUrl": "https://a.example"}]}),
        );
        part.metadata.namespace = Some(namespace.clone());
        let params = kube::api::PatchParams::apply(manager);
        api.patch("shared", &params, &kube::api::Patch::Apply(&part)).await.unwrap();
    }
    let merged = api.get("shared").await.unwrap();
    let names: Vec<_> =
        merged.data["spec"]["backends"].as_array().unwrap().iter().map(|b| &b["name"]).collect();
    assert_eq!(names, ["official", "in-house"]);
}

#[tokio::test]
async fn kubectl_explains_fields_with_defaults_and_values() {
    let plane = plane().await.unwrap();
    // The API server publishes new definitions a moment after it takes them.
    let explain = async |field: &str| {
        eventually("kubectl explains the field", Duration::from_mins(1), async || {
            plane.kubectl(&["explain", field]).await?.ok()
        })
        .await
    };
    for (field, texts) in [
        ("deepseekroutes", &["A model that a gateway serves"][..]),
        (
            "deepseekroutes.spec.backends",
            &["1 to 16 backends", "backendRef", "-required-", "Name of the backend"],
        ),
        ("dsr.spec.quota.mode", &["Default: `Enforce`", "`Shadow`: The request passes"]),
        ("deepseekgateways.spec.replicas.min", &["At least. Default: 2"]),
        ("deepseekgateways.status.conditions", &["`Accepted`, `ResolvedRefs`, `Programmed` and `Ready`"]),
        ("deepseekconsumers.spec.apiKeys", &["Each at least 16 characters"]),
        ("deepseekbackends.spec.flavor", &["`VLLM`: vLLM's OpenAI-compatible server"]),
    ] {
        // kubectl breaks lines where the terminal ends.
        let said = explain(field).await.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in texts {
            assert!(said.contains(text), "kubectl explain {field} lacks {text:?}:\n{said}");
        }
    }
}

#[tokio::test]
async fn kubectl_lists_the_columns_of_each_kind_also_by_short_name_and_category() {
    let plane = plane().await.unwrap();
    let namespace = plane.namespace("columns").await.unwrap();
    let spec = route(json!({}));
    let routes = api::<DeepSeekRoute>(plane, &namespace).await;
    routes.create(&PostParams::default(), &object::<DeepSeekRoute>("chat", spec)).await.unwrap();
    let gateways = api::<DeepSeekGateway>(plane, &namespace).await;
    gateways.create(&PostParams::default(), &object::<DeepSeekGateway>("edge", json!({}))).await.unwrap();
    let backends = api::<DeepSeekBackend>(plane, &namespace).await;
    let backend = object::<DeepSeekBackend>("main", json!({"baseUrl": "https://api.deepseek.com"}));
    backends.create(&PostParams::default(), &backend).await.unwrap();
    let consumers = api::<DeepSeekConsumer>(plane, &namespace).await;
    let keys = json!({"apiKeys": [{"secretRef": {"name": "s", "key": "k"}}]});
    consumers.create(&PostParams::default(), &object::<DeepSeekConsumer>("app", keys)).await.unwrap();

    for (kind, output, columns) in [
        ("dsr", "", "NAME MODEL BACKENDS GATEWAYS READY AGE"),
        ("dsr", "wide", "NAME MODEL BACKENDS GATEWAYS READY AGE REASON QUOTA-USED REQUESTS/S"),
        ("dsb", "", "NAME URL FLAVOR ROUTES BALANCE READY AGE"),
        ("dsg", "", "NAME ADDRESS PODS ROUTES READY AGE"),
        ("dsc", "", "NAME GATEWAYS READY AGE"),
    ] {
        let listed =
            plane.kubectl(&["get", kind, "-n", &namespace, "-o", output]).await.unwrap().ok().unwrap();
        let header = listed.lines().next().unwrap_or_default();
        assert_eq!(header.split_whitespace().collect::<Vec<_>>().join(" "), columns, "{kind} -o {output:?}");
    }
    let all =
        plane.kubectl(&["get", "deepseek", "-n", &namespace, "-o", "name"]).await.unwrap().ok().unwrap();
    assert_eq!(all.lines().count(), 4, "{all}");
}
