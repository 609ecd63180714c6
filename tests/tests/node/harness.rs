//! What the other tests here rely on.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use deepseek_tests::kubernetes::{
    Node, eventually,
    image::{self, Build, Image},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::Api;

const IMAGE: &str = "localhost/hello:test";

/// A server that says who it is, in an image of its own.
async fn hello_image() -> anyhow::Result<Image> {
    let context = tempfile::tempdir()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/hello.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compile = Command::new(rustc);
    compile.args(["--edition=2024", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"]);
    let compiled = compile.arg(context.path().join("hello")).arg(source).status()?;
    anyhow::ensure!(compiled.success(), "{compile:?} failed");
    let dockerfile = context.path().join("Dockerfile");
    std::fs::write(&dockerfile, "ARG BASE\nFROM ${BASE}\nCOPY hello /hello\nENTRYPOINT [\"/hello\"]\n")?;
    let args = [("BASE", "scratch")];
    image::build(Build { name: IMAGE, dockerfile: &dockerfile, context: context.path(), args: &args }).await
}

const HELLO: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: hello}
spec:
  replicas: 2
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: hello
        image: localhost/hello:test
        imagePullPolicy: Never
        ports: [{containerPort: 8080}]
        env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        resources: {requests: {cpu: 10m}}
---
apiVersion: v1
kind: Service
metadata: {name: hello}
spec:
  selector: {app: hello}
  ports: [{port: 80, targetPort: 8080}]
";

/// Runs two hello pods behind a Service in `namespace` and returns the Service's address.
async fn deploy_hello(node: &Node, namespace: &str) -> anyhow::Result<String> {
    node.load_image(hello_image().await?.archive()).await?;
    let named = format!("metadata: {{name: hello, namespace: {namespace}}}");
    node.apply(&HELLO.replace("metadata: {name: hello}", &named)).await?.ok()?;
    let client = node.client().await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    eventually("both hello pods are ready", Duration::from_mins(1), async || {
        let status = deployments.get("hello").await?.status.unwrap_or_default();
        anyhow::ensure!(status.ready_replicas == Some(2), "{status:?}");
        anyhow::Ok(())
    })
    .await;
    let service = Api::<Service>::namespaced(client, namespace).get("hello").await?;
    service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")
}

async fn get(url: String) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    Ok(client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?.text().await?)
}

#[tokio::test]
async fn pods_answer_through_a_service_from_outside_and_from_each_other() {
    let node = Node::shared().await.unwrap();
    let namespace = node.namespace("hello").await.unwrap();
    let start = Instant::now();
    let service = deploy_hello(node, &namespace).await.unwrap();
    eprintln!("image built, loaded, two pods ready in {:.1} s", start.elapsed().as_secs_f32());

    let both = eventually("both pods answer through the Service", Duration::from_secs(20), async || {
        let mut names = BTreeSet::new();
        for _ in 0..20 {
            names.insert(get(format!("http://{service}/")).await?);
        }
        anyhow::ensure!(names.len() == 2, "only {names:?}");
        anyhow::Ok(names)
    })
    .await;
    assert!(both.iter().all(|name| name.starts_with("hello from hello-")), "{both:?}");

    // Pods reach pods, each other and themselves, by the Service's address and by its name.
    for host in [service.clone(), format!("hello.{namespace}.svc")] {
        for _ in 0..10 {
            let answer = get(format!("http://{service}/ask/{host}:80")).await.unwrap();
            assert!(both.contains(&answer), "asked {host}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_autoscaler_gets_its_figures() {
    let node = Node::shared().await.unwrap();

    node.wait_for_metrics().await.unwrap();

    let top = node.kubectl(&["top", "node", "--no-headers"]).await.unwrap().ok().unwrap();
    assert!(top.starts_with("node1"), "{top}");
}

#[tokio::test]
async fn two_nodes_run_side_by_side() {
    let shared = Node::shared().await.unwrap();
    let other = Node::boot().await.unwrap();

    assert_ne!(shared.host_address(), other.host_address());
    for node in [shared, &other] {
        let listed = node.kubectl(&["get", "nodes", "-o", "name"]).await.unwrap().ok().unwrap();
        assert_eq!(listed.trim(), "node/node1");
    }
}

#[tokio::test]
async fn tearing_a_node_down_leaves_nothing() {
    let elsewhere = [
        "/var/log/pods",
        "/var/log/containers",
        "/var/lib/cni",
        "/var/lib/kubelet",
        "/usr/libexec/kubernetes",
    ];
    let existing = || elsewhere.iter().filter(|path| Path::new(path).exists()).collect::<Vec<_>>();
    let existed = existing();
    let node = Node::boot().await.unwrap();
    let namespace = node.namespace("leaves").await.unwrap();
    deploy_hello(&node, &namespace).await.unwrap();
    let folder = node.kubeconfig().parent().unwrap().to_owned();
    let marker = folder.to_str().unwrap().to_owned();
    let [_, _, slot, _] = node.host_address().octets();
    let number = slot - 128;
    let traces = || Traces::of(number, &marker);
    let before = traces();
    assert!(
        !before.processes.is_empty() && !before.cgroups.is_empty() && before.network.contains("dsnode"),
        "{before:?}"
    );

    let start = Instant::now();
    drop(node);
    eprintln!("node torn down in {:.1} s", start.elapsed().as_secs_f32());

    assert_eq!(traces(), Traces::default());
    assert!(!folder.exists(), "{} is still there", folder.display());
    assert_eq!(existing(), existed, "programs wrote outside of the node's folder");
}

/// What one sees of a node from outside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Traces {
    processes: Vec<String>,
    mounts: Vec<String>,
    cgroups: Vec<String>,
    network: String,
}

impl Traces {
    fn of(number: u8, folder: &str) -> Self {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = processes
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(folder))
            .collect();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounts = mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned).collect();
        Self {
            processes,
            mounts,
            cgroups: lines(&[
                "find",
                "/sys/fs/cgroup",
                "-maxdepth",
                "2",
                "-name",
                &format!("deepseek-node-{number}"),
            ]),
            network: [
                lines(&["ip", "-o", "link"])
                    .into_iter()
                    .filter(|line| line.contains(&format!(" dsnode{number}@")))
                    .collect(),
                lines(&["ip", "route", "show", &format!("198.18.{number}.0/24")]),
                lines(&["ip", "route", "show", &format!("198.19.{number}.0/24")]),
            ]
            .concat()
            .join("\n"),
        }
    }
}

fn lines(command: &[&str]) -> Vec<String> {
    let output =
        Command::new(command[0]).args(&command[1..]).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().map(str::to_owned).collect()
}
