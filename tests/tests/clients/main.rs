//! The OpenAI SDK for Python, as its users install it, against the gateway: each test runs one script of
//! `tests/clients/`, which fails by an exception. `cargo xtask setup --control-plane` installs the SDK.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{path::Path, process::Stdio, time::Duration};

use deepseek_tests::gateway::Gateway;
use kubernetes_assets::client_python;
use mock_deepseek::{Flavor, Mock, Options};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a script may take; the slowest waits a second.
const DEADLINE: Duration = Duration::from_mins(1);

const KEY: &str = "sk-team-a-0123456789abcdef";
const OTHER_KEY: &str = "sk-team-b-0123456789abcdef";

/// Two teams and a route for each thing to be shown; the words in capitals are addresses.
const MANIFESTS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {provider: sk-provider-0123456789, team-a: sk-team-a-0123456789abcdef, team-b: sk-team-b-0123456789abcdef}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {name: team-a, labels: {team: a}}
spec: {apiKeys: [{secretRef: {name: keys, key: team-a}}]}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {name: team-b, labels: {team: b}}
spec: {apiKeys: [{secretRef: {name: keys, key: team-b}}]}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: flash}
spec:
  model: deepseek-flash
  backends: [{name: one, baseUrl: UPSTREAM, apiKey: {secretRef: {name: keys, key: provider}}}]
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: pro}
spec:
  model: deepseek-v4-pro
  backends: [{name: one, baseUrl: UPSTREAM, apiKey: {secretRef: {name: keys, key: provider}}}]
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: embedder}
spec:
  model: embedder
  backends: [{name: one, baseUrl: EMBEDDER/v1, flavor: OpenAI, apiKey: {secretRef: {name: keys, key: provider}}}]
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: for-team-b}
spec:
  model: for-team-b
  access: {consumers: {matchLabels: {team: b}}}
  backends: [{name: one, baseUrl: UPSTREAM, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}]
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: once-a-minute}
spec:
  model: once-a-minute
  backends: [{name: one, baseUrl: UPSTREAM, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}]
  quota: [{per: Consumer, requests: 1, window: 1m}]
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: once-a-second}
spec:
  model: once-a-second
  backends: [{name: one, baseUrl: UPSTREAM, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}]
  quota: [{per: Consumer, requests: 1, window: 1s}]
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: unreachable}
spec:
  model: unreachable
  backends: [{name: gone, baseUrl: GONE, apiKey: {secretRef: {name: keys, key: provider}}}]
";

/// A gateway with all of [`MANIFESTS`], and what is behind it.
struct World {
    gateway: Gateway,
    upstream: Mock,
    /// They end when they are dropped.
    _others: [Mock; 2],
}

impl World {
    async fn start() -> Self {
        let upstream = Mock::start(Options::named("upstream")).await.unwrap();
        let embedder = Mock::start(Options::flavored("embedder", Flavor::OpenAi)).await.unwrap();
        let gone = Mock::start(Options::named("gone")).await.unwrap();
        // Its port stays reserved, so that nobody else takes it.
        gone.kill().await.unwrap();
        let manifests = MANIFESTS
            .replace("UPSTREAM", &upstream.base_url())
            .replace("EMBEDDER", &embedder.base_url())
            .replace("GONE", &gone.base_url());
        let gateway = Gateway::standalone(&manifests).await.unwrap();
        Self { gateway, upstream, _others: [embedder, gone] }
    }

    fn script(&self, name: &str) -> Child {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
        let mut command = Command::new(client_python().unwrap());
        // Isolated from what the person who runs this has set or installed.
        command.env_clear().arg("-I").arg(script);
        command.env("OPENAI_BASE_URL", self.gateway.url("/v1"));
        command.env("OPENAI_API_KEY", KEY).env("OTHER_API_KEY", OTHER_KEY);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    }
}

/// Waits until a script has ended without an exception.
async fn succeeds(script: Child) {
    let output = timeout(DEADLINE, script.wait_with_output()).await.expect("the script hangs").unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", told.concat());
}

async fn run(name: &str) {
    let world = World::start().await;
    succeeds(world.script(name)).await;
}

#[tokio::test]
async fn a_chat_is_answered_with_all_its_fields() {
    run("chat.py").await;
}

#[tokio::test]
async fn a_stream_says_the_same_as_the_whole_answer() {
    run("stream.py").await;
}

#[tokio::test]
async fn a_stream_ends_with_the_usage_when_it_was_asked_for() {
    run("usage.py").await;
}

#[tokio::test]
async fn reasoning_is_seen_beside_the_answer() {
    run("reasoning.py").await;
}

#[tokio::test]
async fn tools_are_called_and_their_results_answered() {
    run("tools.py").await;
}

#[tokio::test]
async fn embeddings_come_from_a_backend_that_has_them() {
    run("embeddings.py").await;
}

#[tokio::test]
async fn the_list_of_models_is_the_callers_own() {
    run("models.py").await;
}

#[tokio::test]
async fn every_refusal_is_the_exception_that_applications_catch() {
    run("errors.py").await;
}

#[tokio::test]
async fn above_a_quota_the_sdk_waits_as_told_and_gets_through() {
    run("patience.py").await;
}

#[tokio::test]
async fn fifty_streams_at_once_each_get_their_own_answer() {
    run("parallel.py").await;
}

#[tokio::test]
async fn the_beta_continues_a_prefix_and_fills_in_the_middle() {
    run("beta.py").await;
}

#[tokio::test]
async fn responses_come_whole_and_as_events() {
    run("responses.py").await;
}

#[tokio::test]
async fn the_anthropic_endpoint_answers_its_own_kind_of_client() {
    run("anthropic.py").await;
}

#[tokio::test]
async fn a_client_that_loses_interest_ends_the_call_upstream() {
    let world = World::start().await;
    let mut script = world.script("cancel.py");
    let mut output = BufReader::new(script.stdout.take().unwrap()).lines();

    let line = timeout(DEADLINE, output.next_line()).await.expect("the script hangs").unwrap();
    if line.as_deref() == Some("cancelled") {
        world.upstream.wait_for(|stats| stats.cancelled == 2, Duration::from_secs(5)).await.unwrap();
        script.stdin.take().unwrap().write_all(b"\n").await.unwrap();
    }

    succeeds(script).await;
}
