//! The gateway that all scripts talk to, what is behind it, and how a script is run.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use deepseek_tests::gateway::Gateway;
use kubernetes_assets::{client_modules, client_python, program};
use mock_deepseek::{Flavor, Mock, Options, Recorded};
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
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: pinged}
spec:
  model: pinged
  backends: [{name: one, baseUrl: UPSTREAM, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}]
  keepAlive: {interval: 1s}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: padded}
spec:
  model: padded
  backends: [{name: one, baseUrl: UPSTREAM, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}]
  keepAlive: {interval: 1s, blankPadding: true}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: resumed}
spec:
  model: resumed
  backends:
  - {name: one, baseUrl: FAULTY, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}
  - {name: two, baseUrl: UPSTREAM, model: deepseek-flash, priority: 1, apiKey: {secretRef: {name: keys, key: provider}}}
  failover: {midStream: Resume}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: faulty}
spec:
  model: faulty
  backends: [{name: one, baseUrl: FAULTY, model: deepseek-flash, apiKey: {secretRef: {name: keys, key: provider}}}]
  failover: {attempts: 1, circuitBreaker: {minRequests: 1, openFor: 5s, slowStart: 0s}}
";

/// A gateway with all of [`MANIFESTS`], and what is behind it.
pub struct World {
    gateway: Gateway,
    pub upstream: Mock,
    /// What a test makes go wrong.
    pub faulty: Mock,
    /// They end when they are dropped.
    _others: [Mock; 2],
}

impl World {
    pub async fn start() -> Self {
        let upstream = Mock::start(Options::named("upstream")).await.unwrap();
        let faulty = Mock::start(Options::named("faulty")).await.unwrap();
        let embedder = Mock::start(Options::flavored("embedder", Flavor::OpenAi)).await.unwrap();
        let gone = Mock::start(Options::named("gone")).await.unwrap();
        // Its port stays reserved, so that nobody else takes it.
        gone.kill().await.unwrap();
        let manifests = MANIFESTS
            .replace("UPSTREAM", &upstream.base_url())
            .replace("EMBEDDER", &embedder.base_url())
            .replace("GONE", &gone.base_url())
            .replace("FAULTY", &faulty.base_url());
        let gateway = Gateway::standalone(&manifests).await.unwrap();
        Self { gateway, upstream, faulty, _others: [embedder, gone] }
    }

    /// A script for Python, begun.
    pub fn python(&self, name: &str) -> Child {
        let mut command = Command::new(client_python().unwrap());
        // Isolated from what the person who runs this has set or installed.
        command.env_clear().arg("-I").arg(scripts().join(name));
        self.begin(command)
    }

    /// A script for Node, begun.
    pub fn node(&self, name: &str) -> Child {
        let mut command = Command::new(program("node").unwrap());
        // Modules are looked for from where a script lies; one that is handed over lies in the current folder.
        let folder = client_modules().unwrap().parent().map(Path::to_path_buf).unwrap();
        let script = std::fs::read_to_string(scripts().join("node").join(name)).unwrap();
        command.env_clear().current_dir(folder).args(["--input-type=module", "--eval", &script]);
        self.begin(command)
    }

    fn begin(&self, mut command: Command) -> Child {
        command.env("OPENAI_BASE_URL", self.gateway.url("/v1"));
        command.env("OPENAI_API_KEY", KEY).env("OTHER_API_KEY", OTHER_KEY);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Waits until a script has ended without an exception; what it printed.
pub async fn succeeds(script: Child) -> String {
    let output = timeout(DEADLINE, script.wait_with_output()).await.expect("the script hangs").unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{}", told.concat());
    let [printed, _] = told;
    printed
}

/// Lets go of two streams in a script that says so, and sees both end upstream while the script lives.
pub async fn both_calls_end_upstream(world: &World, mut script: Child) {
    let mut output = BufReader::new(script.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, output.next_line()).await.expect("the script hangs").unwrap();
    if line.as_deref() == Some("cancelled") {
        world.upstream.wait_for(|stats| stats.cancelled == 2, Duration::from_secs(5)).await.unwrap();
        script.stdin.take().unwrap().write_all(b"\n").await.unwrap();
    }
    succeeds(script).await;
}

/// The calls that reached a backend, without looks at its balance.
fn calls(backend: &Mock) -> Vec<Recorded> {
    backend.requests().into_iter().filter(|it| it.method == "POST").collect()
}

/// A resumed stream: the faulty backend is asked once, and another goes on where it stopped.
pub async fn is_continued(world: &World, upstream_calls: usize, script: impl FnOnce(&World) -> Child) {
    world.faulty.set_default("cut_after=5");
    succeeds(script(world)).await;
    let continuing = calls(&world.upstream);
    assert_eq!((calls(&world.faulty).len(), continuing.len()), (1, upstream_calls));
    let continued = continuing.last().unwrap();
    assert!(String::from_utf8_lossy(&continued.body).contains("[faulty "), "it continues what was said");
}

/// A stream that breaks for good: nobody asks again.
pub async fn is_asked_once(world: &World, script: impl FnOnce(&World) -> Child) {
    world.faulty.set_default("error_after=4");
    succeeds(script(world)).await;
    assert_eq!(calls(&world.faulty).len(), 1);
}

/// An SDK that is refused comes again when it is told to, not before: `within` retries, with `pause` between the two
/// calls that reach the backend.
pub async fn comes_again(
    world: &World,
    (fault, within, pause): (&str, std::ops::RangeInclusive<u32>, Duration),
    script: impl FnOnce(&World) -> Child,
) {
    // Not for all: a look at the balance would use the fault up.
    world.faulty.set_for_model("deepseek-flash", fault);
    let printed = succeeds(script(world)).await;
    let retries: u32 = printed.trim().parse().unwrap();
    assert!(within.contains(&retries), "{retries} retries: {:?}", world.faulty.requests());
    let requests = calls(&world.faulty);
    assert_eq!(requests.len(), 2, "{requests:?}");
    let waited = requests[1].arrived - requests[0].arrived;
    assert!(waited >= pause, "{waited:?}");
}

/// One 503 with `Retry-After` of an open circuit breaker after the failure that opened it.
pub const BREAKER: (&str, std::ops::RangeInclusive<u32>, Duration) =
    ("status=503&fail_first=1", 2..=2, Duration::from_secs(4));

/// One 429 with `Retry-After`.
pub const LIMIT: (&str, std::ops::RangeInclusive<u32>, Duration) =
    ("error=rate_limit&retry_after=2&fail_first=1", 1..=2, Duration::from_secs(2));
