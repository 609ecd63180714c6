//! The gateway in cluster mode against a real API server: what the operator would write is written by the test.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use deepseek_config::{
    compile::Output,
    document::{Kind, ObjectId},
    report::{LoadedObject, Report},
};
use deepseek_crds::labels;
use deepseek_tests::{
    compiled::compiled,
    gateway::Gateway,
    kubernetes::{ControlPlane, eventually},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams},
};
use mock_deepseek::{Mock, Options};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const KEY: &str = "sk-test-0123456789abcdef";
const PROVIDER_KEY: &str = "sk-provider-fedcba9876543210";

/// A namespace with the configuration of a gateway `default`, and the rights its pods have.
struct Pool<'a> {
    plane: &'a ControlPlane,
    client: Client,
    namespace: String,
    kubeconfig: PathBuf,
    upstream: Mock,
    port: u16,
}

impl<'a> Pool<'a> {
    async fn new(plane: &'a ControlPlane) -> Result<Self> {
        let namespace = plane.namespace("gateway").await?;
        let rules = json!([
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["default-keys"],
             "verbs": ["get", "list", "watch"]},
        ]);
        let meta = json!({"name": "gateway", "namespace": namespace});
        for object in [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gateway"},
                "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": namespace}]}),
        ] {
            plane.apply(&object.to_string()).await?;
        }
        let kubeconfig = plane.kubeconfig_for_service_account(&namespace, "gateway").await?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let upstream = Mock::start(Options::named("a")).await?;
        let client = plane.client().await?;
        Ok(Self { plane, client, namespace, kubeconfig, upstream, port })
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What the compiler makes of a gateway, a consumer and routes for `models`.
    fn compile(&self, models: &[&str], provider_key: &str) -> Result<Vec<Output>> {
        let base_url = self.upstream.base_url();
        let mut text = format!(
            "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {{name: default, namespace: {ns}}}
spec: {{default: true, listeners: [{{name: http, port: {port}, protocol: HTTP}}], drain: {{delay: 0s}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: keys, namespace: team-a}}
stringData: {{provider: {provider_key}, consumer: {KEY}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {{name: app, namespace: team-a}}
spec: {{apiKeys: [{{secretRef: {{name: keys, key: consumer}}}}]}}
",
            ns = self.namespace,
            port = self.port
        );
        for model in models {
            let _ = write!(
                text,
                "---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: {model}, namespace: team-a, generation: 1}}
spec:
  model: {model}
  backends:
  - {{name: a, baseUrl: \"{base_url}\", model: deepseek-flash, apiKey: {{secretRef: {{name: keys, key: provider}}}}}}
"
            );
        }
        compiled(&text, |_| ())
    }

    /// Writes keys and documents, as the operator does: keys first.
    async fn publish(&self, models: &[&str], provider_key: &str) -> Result<()> {
        let outputs = self.compile(models, provider_key)?;
        let keys = outputs.iter().flat_map(|output| &output.keys);
        let data = keys.map(|(id, value)| (id.as_str().to_owned(), ByteString(value.clone()))).collect();
        let secret = Secret {
            metadata: ObjectMeta { name: Some(labels::keys_secret("default")), ..ObjectMeta::default() },
            data: Some(data),
            ..Secret::default()
        };
        let by = PatchParams::apply("test").force();
        self.secrets().patch("default-keys", &by, &Patch::Apply(&secret)).await?;
        for output in &outputs {
            let config_map = config_map(output)?;
            let name = config_map.metadata.name.clone().context("a name")?;
            self.config_maps().patch(&name, &by, &Patch::Apply(&config_map)).await?;
        }
        Ok(())
    }

    async fn delete(&self, model: &str) -> Result<()> {
        self.config_maps().delete(&name(&route(model)), &DeleteParams::default()).await?;
        Ok(())
    }

    async fn start(&self, last_good: Option<&Path>) -> Result<Gateway> {
        let directory = last_good.map(|path| path.display().to_string());
        let mut arguments = vec!["--gateway", "default", "--namespace", &self.namespace];
        if let Some(directory) = &directory {
            arguments.extend(["--last-good", directory]);
        }
        Gateway::cluster(&self.kubeconfig, &arguments, self.port).await
    }

    async fn ready(&self, gateway: &Gateway) {
        eventually("the gateway is ready", SOON, async || {
            let status = probe(gateway, "/readyz").await?;
            ensure!(status == 200, "{status}");
            Ok(())
        })
        .await;
    }

    /// Waits until a call for `model` has `status`.
    async fn answers(&self, gateway: &Gateway, model: &str, status: u16) -> Value {
        eventually(&format!("{model} answers {status}"), SOON, async || {
            let (found, answer) = call(gateway, model).await?;
            ensure!(found == status, "{found}: {answer}");
            Ok(answer)
        })
        .await
    }
}

fn route(model: &str) -> ObjectId {
    ObjectId::new(Kind::Route, "team-a", model)
}

fn name(id: &ObjectId) -> String {
    format!("default-{}-{}-{}", id.kind.as_str().to_lowercase(), id.namespace, id.name)
}

fn config_map(output: &Output) -> Result<ConfigMap> {
    let encoded = output.document.encode()?;
    let id = &output.document.id;
    let labels = [
        (labels::GATEWAY, "default"),
        (labels::COMPONENT, labels::COMPONENT_CONFIG),
        (labels::OWNER_KIND, id.kind.as_str()),
        (labels::OWNER_NAMESPACE, &id.namespace),
        (labels::OWNER_NAME, &id.name),
    ];
    let data = [(labels::CONFIG_KEY, encoded.json), (labels::DIGEST_KEY, encoded.sha256)];
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(id)),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
        ..ConfigMap::default()
    })
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

async fn probe(gateway: &Gateway, path: &str) -> Result<u16> {
    Ok(http().get(gateway.admin_url(path)).send().await?.status().as_u16())
}

async fn report(gateway: &Gateway) -> Result<Report> {
    Ok(http().get(gateway.admin_url("/status")).send().await?.json().await?)
}

async fn object(gateway: &Gateway, id: &ObjectId) -> Result<LoadedObject> {
    let objects = report(gateway).await?.objects;
    objects.into_iter().find(|object| object.id == *id).with_context(|| format!("{id} is not in the report"))
}

async fn call(gateway: &Gateway, model: &str) -> Result<(u16, Value)> {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    let request = http().post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&body);
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.json().await?))
}

#[tokio::test]
async fn a_config_map_is_served_within_moments_and_its_deletion_is_too() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let pool = Pool::new(plane).await?;
    pool.publish(&["one"], PROVIDER_KEY).await?;
    let gateway = pool.start(None).await?;
    pool.ready(&gateway).await;
    pool.answers(&gateway, "one", 200).await;

    pool.publish(&["one", "two"], PROVIDER_KEY).await?;
    let start = Instant::now();
    pool.answers(&gateway, "two", 200).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    pool.delete("two").await?;
    let answer = pool.answers(&gateway, "two", 404).await;
    assert_eq!(answer["error"]["code"], "model_not_found");
    assert!(object(&gateway, &route("two")).await.is_err(), "the report has forgotten it, too");
    assert_eq!(call(&gateway, "one").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_corrupt_config_map_is_refused_alone_and_its_last_good_version_serves() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let pool = Pool::new(plane).await?;
    pool.publish(&["one"], PROVIDER_KEY).await?;
    let gateway = pool.start(None).await?;
    pool.ready(&gateway).await;
    let good = object(&gateway, &route("one")).await?;
    assert_eq!((good.refused.as_deref(), good.generation), (None, Some(1)));

    let cut = json!({"data": {labels::CONFIG_KEY: "{\"format\":"}});
    pool.config_maps().patch(&name(&route("one")), &PatchParams::default(), &Patch::Merge(&cut)).await?;
    let bad = eventually("the report tells", SOON, async || {
        let seen = object(&gateway, &route("one")).await?;
        ensure!(seen.refused.is_some(), "{seen:?}");
        Ok(seen)
    })
    .await;
    assert_eq!(bad.sha256, good.sha256);
    assert!(bad.refused.is_some_and(|reason| reason.contains("SHA-256")));
    assert_eq!(call(&gateway, "one").await?.0, 200);
    pool.publish(&["one", "two"], PROVIDER_KEY).await?;
    pool.answers(&gateway, "two", 200).await;
    eventually("the report is clean again", SOON, async || {
        let seen = object(&gateway, &route("one")).await?;
        ensure!(seen == good, "{seen:?}");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_rotated_secret_is_used_without_a_restart_and_a_vanished_one_goes_on() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let pool = Pool::new(plane).await?;
    pool.publish(&["one"], PROVIDER_KEY).await?;
    let gateway = pool.start(None).await?;
    pool.ready(&gateway).await;
    let sends = async |key: &str| {
        eventually("the key is sent", SOON, async || {
            ensure!(call(&gateway, "one").await?.0 == 200);
            let sent = pool.upstream.last_request().context("a request")?;
            ensure!(sent.header("authorization") == Some(format!("Bearer {key}").as_str()));
            Ok(())
        })
        .await;
    };
    sends(PROVIDER_KEY).await;
    pool.publish(&["one"], "sk-rotated-0123456789").await?;
    sends("sk-rotated-0123456789").await;
    pool.secrets().delete("default-keys", &DeleteParams::default()).await?;
    gateway.wait_for_log("the Secret of keys is gone").await?;
    sends("sk-rotated-0123456789").await;
    for secret in [PROVIDER_KEY, "sk-rotated-0123456789", KEY] {
        assert!(!gateway.logs().contains(secret), "a key was logged");
    }
    Ok(())
}

#[tokio::test]
async fn while_the_api_server_is_away_traffic_goes_on_and_what_changed_is_seen_after() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let pool = Pool::new(&plane).await?;
    let gateway = pool.start(None).await?;
    eventually("the gateway waits for its listeners", SOON, async || {
        let (startup, ready) = (probe(&gateway, "/startupz").await?, probe(&gateway, "/readyz").await?);
        ensure!((startup, ready) == (200, 503), "{startup} {ready}");
        Ok(())
    })
    .await;
    pool.publish(&["one", "two"], PROVIDER_KEY).await?;
    pool.ready(&gateway).await;
    pool.answers(&gateway, "one", 200).await;

    plane.stop_api_server()?;
    gateway.wait_for_log("watch broke").await?;
    assert_eq!(call(&gateway, "one").await?.0, 200);
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(probe(&gateway, path).await?, 200, "{path}");
    }
    plane.start_api_server().await?;
    pool.delete("two").await?;
    pool.publish(&["one", "three"], PROVIDER_KEY).await?;
    pool.answers(&gateway, "three", 200).await;
    pool.answers(&gateway, "two", 404).await;
    Ok(())
}

#[tokio::test]
async fn a_restart_while_the_api_server_is_away_starts_from_disk_and_reconciles_later() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let pool = Pool::new(&plane).await?;
    let disk = tempfile::tempdir()?;
    pool.publish(&["one", "two"], PROVIDER_KEY).await?;
    let mut gateway = pool.start(Some(disk.path())).await?;
    pool.ready(&gateway).await;
    let before = report(&gateway).await?.objects;
    eventually("the copy is on disk", SOON, async || {
        let size = std::fs::metadata(disk.path().join("last-good.jsonl"))?.len();
        ensure!(size > 0);
        anyhow::Ok(())
    })
    .await;
    gateway.signal("KILL")?;
    gateway.exited(SOON).await?;
    pool.delete("two").await?;
    plane.stop_api_server()?;

    let start = Instant::now();
    let gateway = pool.start(Some(disk.path())).await?;
    pool.ready(&gateway).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(report(&gateway).await?.objects, before);
    for model in ["one", "two"] {
        assert_eq!(call(&gateway, model).await?.0, 200, "{model}");
    }
    plane.start_api_server().await?;
    pool.answers(&gateway, "two", 404).await;
    assert_eq!(call(&gateway, "one").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn without_a_copy_and_without_the_api_server_it_lives_but_has_not_started() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let pool = Pool::new(&plane).await?;
    pool.publish(&["one"], PROVIDER_KEY).await?;
    pool.plane.stop_api_server()?;
    let gateway = pool.start(None).await?;
    gateway.wait_for_log("watch broke").await?;
    let mut states = BTreeMap::new();
    for path in ["/livez", "/readyz", "/startupz"] {
        states.insert(path, probe(&gateway, path).await?);
    }
    assert_eq!(states, BTreeMap::from([("/livez", 200), ("/readyz", 503), ("/startupz", 503)]));
    plane.start_api_server().await?;
    pool.ready(&gateway).await;
    pool.answers(&gateway, "one", 200).await;
    Ok(())
}
