//! What is soaked: a standalone gateway, three routes, three accounts, each with a fake of its own.

use super::vitals::Sample;
use super::weather;
use crate::gateway::Gateway;
use anyhow::Result;
use mock_deepseek::{Mock, Options};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The consumer's key.
pub const KEY: &str = "sk-soak-0123456789abcdef";
/// What the providers' keys begin with: what must not be in a log.
const PROVIDER_KEY: &str = "sk-provider-of-";
/// The names of the upstreams, as answers say them.
pub const UPSTREAMS: [&str; 3] = ["a", "b", "c"];
/// The models: broken streams of the first are resumed and slow ones hedged; those of the second are neither; answers of
/// the third are kept and shared, and where every upstream is out there is [another](STATIC).
pub const MODELS: [&str; 3] = ["deepseek-flash", "deepseek-v4-pro", KEPT];
/// The model whose answers are kept.
pub const KEPT: &str = "deepseek-kept";
/// What is said of it where every upstream is out and no answer was kept.
pub const STATIC: &str = "Nobody is there. Please ask again.";
/// How long everything may take to be given back.
const REST: Duration = Duration::from_secs(10);
/// Open files more than at the start that are no leak: what the runtime opens at its first need.
const SPARE_FILES: u64 = 4;

const TIMEOUTS: &str =
    "  timeouts: {connect: 500ms, firstToken: 1500ms, idle: 1500ms, byteIdle: 3s, request: 12s}\n";
const FAILOVER: &str = "attempts: 3, backoff: {base: 20ms, max: 200ms}, circuitBreaker: {window: 5s, openFor: 1s, slowStart: 1s}";

/// The gateway and its upstreams.
pub struct World {
    pub gateway: Gateway,
    pub upstreams: Vec<Mock>,
}

impl World {
    pub async fn start() -> Result<Self> {
        let mut upstreams = Vec::new();
        for name in UPSTREAMS {
            let models = MODELS.map(str::to_owned).to_vec();
            upstreams.push(Mock::start(Options { record: false, models, ..Options::named(name) }).await?);
        }
        let gateway = Gateway::standalone_with(&manifests(&upstreams), &["--log-level", "info"]).await?;
        Ok(Self { gateway, upstreams })
    }

    /// Waits until the gateway holds nothing any more that it did not hold at its start, when it had `files` open.
    /// Returns what it has not given back in time.
    pub async fn wait_for_rest(&self, files: u64) -> Result<Vec<String>> {
        let give_up = Instant::now() + REST;
        let mut closed = false;
        loop {
            let sample = Sample::take(&self.gateway).await?;
            let mut left = Vec::new();
            for (held, what) in
                [(sample.in_flight, "requests in flight"), (sample.streams, "streams in flight")]
            {
                left.extend((held != 0).then(|| format!("{held} {what}")));
            }
            for upstream in &self.upstreams {
                let open = upstream.stats().in_flight;
                left.extend((open != 0).then(|| format!("{open} requests open at {}", upstream.name())));
            }
            if left.is_empty() && !closed {
                // Pooled connections are no leak: they are closed from the other side.
                for upstream in &self.upstreams {
                    upstream.kill().await?;
                }
                closed = true;
                continue;
            }
            let (now, most) = (sample.files, files + SPARE_FILES);
            left.extend((now > most).then(|| format!("{now} files open, {files} at the start")));
            if left.is_empty() || Instant::now() > give_up {
                return Ok(left);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the gateway's log holds and must not hold.
    pub fn leaks(&self) -> Vec<&'static str> {
        let logs = self.gateway.logs();
        let secrets = [
            (PROVIDER_KEY, "a provider's key is in the log"),
            (KEY, "a consumer's key is in the log"),
            (super::plan::MARK, "a prompt is in the log"),
            ("panicked", "the gateway panicked"),
        ];
        secrets.into_iter().filter(|(secret, _)| logs.contains(secret)).map(|(_, what)| what).collect()
    }
}

fn manifests(upstreams: &[Mock]) -> String {
    let mut yaml = format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: soak}}
stringData: {{key: {KEY}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {{name: soak}}
spec:
  apiKeys:
  - secretRef: {{name: soak, key: key}}
"
    );
    for upstream in upstreams {
        let (name, url) = (upstream.name(), upstream.base_url());
        let [first, second] = weather::keys(name);
        let _ = write!(
            yaml,
            "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{first: {first}, second: {second}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {{name: {name}}}
spec:
  baseUrl: {url}
  apiKeys:
  - secretRef: {{name: {name}, key: first}}
  - secretRef: {{name: {name}, key: second}}
  balance: {{interval: 10s}}
"
        );
    }
    let degraded = format!(", fallback: {{cached: true, static: {{content: {STATIC:?}}}}}");
    let more =
        [(", hedgeAfter: 400ms, midStream: Resume", ""), ("", ""), (&degraded, "  cache: {ttl: 1s}\n")];
    for (model, (failover, cache)) in MODELS.into_iter().zip(more) {
        let backends: String = UPSTREAMS
            .iter()
            .map(|name| format!("  - {{name: {name}, backendRef: {{name: {name}}}}}\n"))
            .collect();
        let _ = write!(
            yaml,
            "---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: {model}}}
spec:
  model: {model}
  backends:
{backends}{TIMEOUTS}  failover: {{{FAILOVER}{failover}}}
  keepAlive: {{interval: 1s}}
{cache}"
        );
    }
    yaml
}
