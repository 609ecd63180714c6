//! The quickstart's manifests, as they are in `examples/`; then the same route over two backends.

use super::{
    site::{MODELS, Site, TENANT},
    upstream,
};

/// The consumer's key in `examples/quickstart/secrets.yaml`.
pub const CALLER_KEY: &str = "my-app-quickstart-key-replace-me";

/// The quickstart's route over the fakes: `secondary` only while `primary` does not answer.
fn route() -> String {
    let url = |name: &str| format!("http://{name}.{MODELS}.svc:8080");
    format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: flash, namespace: {TENANT}}}
spec:
  model: deepseek-flash
  backends:
  - name: primary
    baseUrl: {primary}
    apiKey: {{secretRef: {{name: deepseek, key: api-key}}}}
  - name: secondary
    priority: 1
    baseUrl: {secondary}
    apiKey: {{secretRef: {{name: deepseek, key: api-key}}}}
",
        primary = url("primary"),
        secondary = url("secondary"),
    )
}

const READY: &str = "wait --for=condition=Ready deepseekroute/flash -n team-a --timeout=30s";

/// Applies the folder to a namespace of a tenant, and waits for its route.
pub async fn apply(site: &Site<'_>) -> anyhow::Result<()> {
    site.create_namespace(TENANT).await?;
    let folder = format!("{}/../examples/quickstart", env!("CARGO_MANIFEST_DIR"));
    let applied = site.node.kubectl(&["apply", "-n", TENANT, "-f", &folder]).await?.ok()?;
    eprintln!("$ kubectl apply -f examples/quickstart\n{applied}");
    site.show(READY).await?;
    site.show(&format!("get deepseekroutes -n {TENANT}")).await?;
    Ok(())
}

/// Points the route to the fakes, and holds what the table says against what is there.
pub async fn add_a_backend(site: &Site<'_>) -> anyhow::Result<()> {
    site.node.apply(&route()).await?.ok()?;
    site.show(READY).await?;
    let table = site.show(&format!("get deepseekroutes -n {TENANT}")).await?;
    let columns: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    anyhow::ensure!(
        columns[0] == ["NAME", "MODEL", "BACKENDS", "GATEWAYS", "READY", "AGE"]
            && columns[1][..5] == ["flash", "deepseek-flash", "2/2", "2/2", "True"],
        "{table}"
    );
    site.show(&format!("get deepseekroutes -n {TENANT} -o wide")).await?;
    anyhow::ensure!(upstream::stats(site, "primary").await?.by_key.is_empty(), "nobody has asked yet");
    Ok(())
}
