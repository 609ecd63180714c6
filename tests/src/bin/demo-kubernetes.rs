//! The quickstart on a Kubernetes that is booted for it; `cargo xtask demo --kubernetes` runs this.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use clap::Parser;
use deepseek_tests::kubernetes::{Node, image};
use tokio::signal::unix::{SignalKind, signal};

/// The profile that images are built with: that of the tests, which have compiled the dependencies already.
const PROFILE: &str = "dev";
const CHARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");

/// The fake DeepSeek where the quickstart's routes look for it.
const FAKE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: fake-deepseek, labels: {app: fake-deepseek}}
spec:
  selector: {matchLabels: {app: fake-deepseek}}
  template:
    metadata: {labels: {app: fake-deepseek}}
    spec:
      containers:
      - name: fake-deepseek
        image: localhost/mock-deepseek:demo
        imagePullPolicy: Never
        args: [--name, fake-deepseek, --listen, '0.0.0.0:8080']
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /__mock/health, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: fake-deepseek}
spec:
  selector: {app: fake-deepseek}
  ports: [{port: 8080}]
";

/// Boots a one-node Kubernetes, installs the charts, applies manifests, says how to call the gateway, and runs until
/// SIGTERM or SIGINT
#[derive(Parser)]
struct Arguments {
    /// A folder with the manifests, and a file `how-to-call` that is printed with `{endpoint}` filled in
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { folder } = Arguments::parse();
    // Before the node: a signal while it boots must end it in order, too.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        result = run(&folder) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Shows everything, and then does nothing for ever; what was started ends when this is dropped.
async fn run(folder: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let say = |what: &str| eprintln!("demo [{:5.1} s] {what}", start.elapsed().as_secs_f32());

    say("building the images");
    let product = image::product("localhost/deepseek-gateway:demo", PROFILE).await?;
    let fake = image::mock_deepseek("localhost/mock-deepseek:demo", PROFILE).await?;
    say("booting a node");
    let node = Node::boot().await?;
    node.load_image(product.archive()).await?;
    node.load_image(fake.archive()).await?;

    say("helm install: the definitions, the operator");
    node.helm(&["install", "deepseek-operator-crds", &format!("{CHARTS}/deepseek-operator-crds")])
        .await?
        .ok()?;
    let chart = format!("{CHARTS}/deepseek-operator");
    node.helm(&[
        "install",
        "deepseek-operator",
        &chart,
        "--namespace=deepseek-system",
        "--create-namespace",
        "--set=image.repository=localhost/deepseek-gateway,image.tag=demo",
    ])
    .await?
    .ok()?;

    say("kubectl apply: a fake DeepSeek, the quickstart");
    node.apply(FAKE).await?.ok()?;
    let manifests = folder.to_str().context("the folder's name is not UTF-8")?;
    node.kubectl(&["apply", "-f", manifests]).await?.ok()?;
    say("waiting until the routes are ready");
    let wait = ["wait", "--for=condition=Ready", "--timeout=180s"];
    node.kubectl(&[&wait[..], &["deepseekroutes", "--all"]].concat()).await?.ok()?;
    node.kubectl(&[&wait[..], &["pods", "--all", "--all-namespaces"]].concat()).await?.ok()?;

    println!();
    for arguments in [
        &["get", "pods", "--namespace=deepseek-system"][..],
        &["get", "deepseekgateways", "--all-namespaces"],
        &["get", "deepseekroutes"],
    ] {
        let table = node.kubectl(arguments).await?.ok()?;
        println!("$ kubectl {}\n{table}", arguments.join(" "));
    }
    let template = "--output=jsonpath={.spec.clusterIP}:{.spec.ports[0].port}";
    let service =
        node.kubectl(&["get", "service", "default", "--namespace=deepseek-system", template]).await?;
    let endpoint = format!("http://{}/v1", service.ok()?.trim());
    let call = fs::read_to_string(folder.join("how-to-call")).context("nobody says how to call")?;
    let kubeconfig = node.kubeconfig().display();
    println!("export KUBECONFIG={kubeconfig}\n\n{}", call.replace("{endpoint}", &endpoint));
    std::io::stdout().flush()?;
    say("running; Ctrl-C ends it");
    std::future::pending().await
}
