//! What tests of the data path share: one consumer, one route written out by the test, requests as a client
//! would send them.

use crate::gateway::Gateway;
use anyhow::Result;
use mock_deepseek::{Mock, Options};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The consumer's key.
pub const KEY: &str = "sk-test-0123456789abcdef";
/// The provider's key: what must never reach a client, a log or a metric.
pub const PROVIDER_KEY: &str = "sk-provider-fedcba9876543210";

/// The key of the second consumer of [`over_account`].
pub const SECOND: &str = "sk-test-second-consumer-0123";

/// Secrets, one consumer `team-a` with label `team: a`, and the given documents.
pub fn world(documents: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: provider}}
stringData: {{token: {PROVIDER_KEY}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: team-a}}
stringData: {{key: {KEY}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {{name: team-a, labels: {{team: a}}}}
spec:
  apiKeys:
  - secretRef: {{name: team-a, key: key}}
---
{documents}"
    )
}

/// A route `chat` for model `deepseek-flash` over `upstreams`, the first with the lowest priority; `more` is further
/// YAML of its spec.
pub fn route(upstreams: &[&Mock], more: &str) -> String {
    let mut backends = String::new();
    for (priority, upstream) in upstreams.iter().enumerate() {
        let _ = writeln!(
            backends,
            "  - {{name: {}, baseUrl: \"{}\", priority: {priority}, apiKey: {{secretRef: {{name: provider, key: token}}}}}}",
            upstream.name(),
            upstream.base_url(),
        );
    }
    format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  backends:
{backends}{more}"
    )
}

/// A fake DeepSeek that takes the provider's key.
pub async fn upstream(name: &str) -> Result<Mock> {
    Ok(Mock::start(Options::named(name)).await?)
}

/// A gateway with [`route`] over `upstreams`.
pub async fn gateway(upstreams: &[&Mock], more: &str) -> Result<Gateway> {
    Gateway::standalone(&world(&route(upstreams, more))).await
}

/// Two consumers, an account with two keys at `main` (`spec` is more of its YAML), and a route over it and `standby`.
pub async fn over_account(main: &Mock, standby: Option<&Mock>, spec: &str, route: &str) -> Result<Gateway> {
    let standby = standby.map_or_else(String::new, |mock| {
        format!("  - {{name: standby, baseUrl: \"{}\", priority: 1, apiKey: {{secretRef: {{name: provider, key: token}}}}}}\n", mock.base_url())
    });
    let documents = format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: more}}
stringData: {{token: sk-provider-second-0123456789, consumer: {SECOND}}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekConsumer
metadata: {{name: team-b}}
spec:
  apiKeys:
  - secretRef: {{name: more, key: consumer}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {{name: account}}
spec:
  baseUrl: \"{}\"
  apiKeys:
  - secretRef: {{name: provider, key: token}}
  - secretRef: {{name: more, key: token}}
{spec}---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  backends:
  - {{name: main, backendRef: {{name: account}}}}
{standby}{route}",
        main.base_url()
    );
    Gateway::standalone(&world(&documents)).await
}

/// The body of a plain chat call.
pub fn hello() -> Value {
    json!({"model": "deepseek-flash", "messages": [{"role": "user", "content": "hello"}], "thinking": {"type": "disabled"}})
}

/// The body of a streamed chat call.
pub fn hello_streamed() -> Value {
    let mut body = hello();
    body["stream"] = json!(true);
    body
}

/// `POST path` with the consumer's key.
pub fn post(gateway: &Gateway, path: &str, body: &Value) -> RequestBuilder {
    client().post(gateway.url(path)).bearer_auth(KEY).json(body)
}

/// A chat call.
pub async fn chat(gateway: &Gateway, body: &Value) -> Result<Response> {
    Ok(post(gateway, "/v1/chat/completions", body).send().await?)
}

/// Status and body of a chat call.
pub async fn chat_json(gateway: &Gateway, body: &Value) -> Result<(u16, Value)> {
    let response = chat(gateway, body).await?;
    Ok((response.status().as_u16(), response.json().await?))
}

/// The text that a whole answer says.
pub fn said(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap_or_default()
}

/// `error.code`.
pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

/// A client without a proxy.
pub fn client() -> reqwest::Client {
    client_builder().build().expect("a client without TLS roots of its own")
}

/// The same, to be refined.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Another test of this process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// The payloads of an event stream.
pub fn payloads(stream: &str) -> Vec<&str> {
    stream.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect()
}
