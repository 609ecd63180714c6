//! A cluster as its users see it: clients, kubeconfigs, namespaces, `kubectl`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig, NamedAuthInfo},
};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::wait::try_eventually;

/// Access to a cluster with the rights of an administrator.
///
/// Clients are made anew by each call: one belongs to the runtime of the test that made it.
pub struct Cluster {
    kubeconfig: PathBuf,
    /// Where kubeconfigs of service accounts are written.
    scratch: PathBuf,
    namespaces: AtomicU32,
}

/// What a program printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether the exit code was zero.
    pub success: bool,
}

impl Output {
    /// Standard output, or an error that quotes standard error.
    pub fn ok(self) -> anyhow::Result<String> {
        anyhow::ensure!(self.success, "the command failed: {}{}", self.stdout, self.stderr);
        Ok(self.stdout)
    }
}

impl Cluster {
    pub(crate) fn new(kubeconfig: PathBuf, scratch: PathBuf) -> Self {
        Self { kubeconfig, scratch, namespaces: AtomicU32::new(0) }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with the administrator's rights.
    pub async fn client(&self) -> anyhow::Result<Client> {
        client_from(Kubeconfig::read_from(&self.kubeconfig)?).await
    }

    /// A client that is `user`, a member of `groups` and nothing else.
    pub async fn client_for_user(&self, user: &str, groups: &[&str]) -> anyhow::Result<Client> {
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        for info in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
            info.impersonate = Some(user.to_owned());
            info.impersonate_groups = Some(groups.iter().map(ToString::to_string).collect());
        }
        client_from(kubeconfig).await
    }

    /// A client that is the service account `name`, by a token as a pod would have it.
    pub async fn client_for_service_account(&self, namespace: &str, name: &str) -> anyhow::Result<Client> {
        client_from(self.kubeconfig_with_token(namespace, name).await?).await
    }

    /// Writes a kubeconfig that is the service account `name`: for a program run as that service account.
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let kubeconfig = self.kubeconfig_with_token(namespace, name).await?;
        let path = self.scratch.join(format!("{namespace}.{name}.kubeconfig"));
        std::fs::write(&path, serde_json::to_vec(&kubeconfig)?)
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    async fn kubeconfig_with_token(&self, namespace: &str, name: &str) -> anyhow::Result<Kubeconfig> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("failed to get a token of the service account {namespace}/{name}"))?;
        let token = answer.status.context("the API server answered without a token")?.token;
        let mut kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let current = kubeconfig.current_context.clone();
        let context = kubeconfig.contexts.iter_mut().find(|context| Some(&context.name) == current.as_ref());
        let context = context.and_then(|context| context.context.as_mut());
        context.context("the administrator's kubeconfig has no current context")?.user =
            Some(name.to_owned());
        let user: NamedAuthInfo = serde_json::from_value(json!({"name": name, "user": {"token": token}}))?;
        kubeconfig.auth_infos = vec![user];
        Ok(kubeconfig)
    }

    /// Makes a namespace of this test's own, ready for pods and service accounts, and returns its name.
    pub async fn namespace(&self, prefix: &str) -> anyhow::Result<String> {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{}-{number}", std::process::id());
        let client = self.client().await?;
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("failed to create the namespace {name}"))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
        try_eventually(
            "the namespace has its default service account",
            Duration::from_secs(30),
            async || accounts.get("default").await,
        )
        .await?;
        Ok(name)
    }

    /// Runs `kubectl` with `args`.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.run("kubectl", args, "").await
    }

    /// Runs `helm` with `args`.
    pub async fn helm(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.run("helm", args, "").await
    }

    /// Applies `manifests` (YAML documents) as `kubectl apply -f -` does.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<Output> {
        self.run("kubectl", &["apply", "-f", "-"], manifests).await
    }

    async fn run(&self, name: &str, args: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let discovered = tempfile::tempdir_in(&self.scratch)?;
        let mut child = Command::new(kubernetes_assets::program(name)?)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            // Caches and settings of the person who runs the tests are not the tests' to read or fill.
            .env("HOME", &self.scratch)
            // What another call learnt of the API before a definition was there is not to be believed.
            .env("KUBECACHEDIR", discovered.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let mut pipe = child.stdin.take().context("the child has no standard input")?;
        let feed = async move {
            // A program that does not read its input closes the pipe: not an error of ours.
            let _ = pipe.write_all(stdin.as_bytes()).await;
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.with_context(|| format!("failed to run {name}"))?;
        Ok(Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            success: output.status.success(),
        })
    }
}

async fn client_from(kubeconfig: Kubeconfig) -> anyhow::Result<Client> {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
