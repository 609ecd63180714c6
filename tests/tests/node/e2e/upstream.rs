//! Two fake DeepSeeks as pods behind Services of their own: `primary` and `secondary`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde::Deserialize;

use super::{
    client::http,
    install::MOCK_IMAGE,
    site::{MODELS, Site},
};

const UPSTREAM: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: mock
        image: IMAGE
        imagePullPolicy: Never
        args: [--listen, '0.0.0.0:8080', --name, NAME]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /__mock/health, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m}}
        securityContext:
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  selector: {app: NAME}
  ports: [{port: 8080}]
";

/// Runs both, and waits until they answer.
pub async fn deploy(site: &Site<'_>) -> anyhow::Result<()> {
    site.create_namespace(MODELS).await?;
    for name in ["primary", "secondary"] {
        let manifests =
            UPSTREAM.replace("NAMESPACE", MODELS).replace("NAME", name).replace("IMAGE", MOCK_IMAGE);
        site.node.apply(&manifests).await?.ok()?;
    }
    for name in ["primary", "secondary"] {
        site.kubectl(&format!("rollout status deployment/{name} -n {MODELS} --timeout=60s")).await?;
    }
    Ok(())
}

/// Sets how many pods of `name` there are.
pub async fn scale(site: &Site<'_>, name: &str, replicas: u32) -> anyhow::Result<()> {
    site.kubectl(&format!("scale deployment/{name} -n {MODELS} --replicas={replicas}")).await?;
    Ok(())
}

/// What a fake has received.
#[derive(Debug, Deserialize)]
pub struct Stats {
    /// Requests per key, of which only the last four signs are told.
    pub by_key: BTreeMap<String, u64>,
}

/// What the fake `name` has received.
pub async fn stats(site: &Site<'_>, name: &str) -> anyhow::Result<Stats> {
    let services: Api<Service> = Api::namespaced(site.node.client().await?, MODELS);
    let address = services.get(name).await?.spec.and_then(|spec| spec.cluster_ip);
    let address = address.with_context(|| format!("the Service {name} has no address"))?;
    let url = format!("http://{address}:8080/__mock/stats");
    Ok(http()?.get(url).send().await?.error_for_status()?.json().await?)
}
