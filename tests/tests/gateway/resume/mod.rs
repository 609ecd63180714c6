//! Streams that survive: what one backend leaves unsaid another one says, and the client notices nothing; or it is told.

mod continued;
mod cuts;
mod given_up;

use crate::support::{chat, counter, gateway, payloads, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
const RESUME: &str = "  failover: {midStream: Resume, attempts: 4, backoff: {base: 10ms, max: 50ms}}\n";
/// With little patience for silence in a stream.
const IMPATIENT: &str = "  timeouts: {idle: 1500ms}\n";

/// A streamed call that asks for its usage wherever it is answered, with thinking or without.
fn ask(thinking: bool) -> Value {
    let kind = if thinking { "enabled" } else { "disabled" };
    json!({
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": "tell me of 🚀 and naïveté"}],
        "thinking": {"type": kind},
        "stream": true,
        "stream_options": {"include_usage": true},
    })
}

/// What a client makes of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    ids: Vec<String>,
    models: Vec<String>,
    roles: usize,
    reasoning: String,
    content: String,
    tools: usize,
    finish: Vec<String>,
    usages: Vec<Value>,
    errors: Vec<Value>,
    /// Whether the end mark came, and came last.
    done: bool,
}

impl Heard {
    fn of(stream: &str) -> Self {
        let mut heard = Self::default();
        for payload in payloads(stream) {
            assert!(!heard.done, "nothing follows the end mark: {stream}");
            if payload == "[DONE]" {
                heard.done = true;
                continue;
            }
            let frame: Value = serde_json::from_str(payload).expect("whole frames only");
            heard.frame(&frame);
        }
        heard
    }

    fn frame(&mut self, frame: &Value) {
        if frame.get("error").is_some() {
            self.errors.push(frame["error"].clone());
            return;
        }
        for (all, field) in [(&mut self.ids, "id"), (&mut self.models, "model")] {
            let value = frame[field].as_str().unwrap_or_default().to_owned();
            if !all.contains(&value) {
                all.push(value);
            }
        }
        self.usages.extend(frame.get("usage").filter(|usage| !usage.is_null()).cloned());
        let Some(choice) = frame["choices"].get(0) else { return };
        let delta = &choice["delta"];
        self.roles += usize::from(delta["role"].is_string());
        self.tools += usize::from(delta["tool_calls"].is_array());
        for field in ["reasoning_content", "reasoning"] {
            self.reasoning += delta[field].as_str().unwrap_or_default();
        }
        self.content += delta["content"].as_str().unwrap_or_default();
        self.finish.extend(choice["finish_reason"].as_str().map(str::to_owned));
    }

    /// What no cut may change: all but the prompt's tokens, which each server counts in its own way, and the name that a
    /// backend gives itself where it was the first to say content.
    fn in_essence(mut self) -> Self {
        self.content = self.content.replacen("[b ", "[a ", 1).replacen("[c ", "[a ", 1);
        for usage in &mut self.usages {
            *usage = json!(usage["completion_tokens"]);
        }
        self
    }
}

/// What `gateway` answers to `body`.
async fn hear(gateway: &Gateway, body: &Value) -> Result<Heard> {
    let response = chat(gateway, body).await?;
    assert_eq!(response.status(), 200);
    Ok(Heard::of(&response.text().await?))
}

/// What a backend called `a` says to `body` when nothing breaks, through a gateway.
async fn unbroken(body: &Value) -> Result<Heard> {
    let a = Mock::start(Options::named("a")).await?;
    let gateway = gateway(&[&a], "").await?;
    let heard = hear(&gateway, body).await?;
    assert!(heard.done && heard.errors.is_empty(), "{heard:?}");
    Ok(heard)
}

/// A route over backends of some flavors, asked in this order.
async fn flavored(upstreams: &[(&Mock, Flavor)], more: &str) -> Result<Gateway> {
    let mut backends = String::new();
    for (priority, (upstream, flavor)) in upstreams.iter().enumerate() {
        let flavor = match flavor {
            Flavor::DeepSeek => "DeepSeek",
            Flavor::OpenAi => "OpenAI",
            Flavor::Vllm => "VLLM",
            Flavor::SgLang => "SGLang",
            Flavor::Ollama => "Ollama",
            Flavor::SiliconFlow => "SiliconFlow",
            Flavor::Azure => "Azure",
        };
        let (name, url) = (upstream.name(), upstream.base_url());
        let _ = writeln!(
            backends,
            "  - {{name: {name}, baseUrl: \"{url}\", flavor: {flavor}, priority: {priority}, apiKey: {{secretRef: {{name: provider, key: token}}}}}}"
        );
    }
    let route = format!(
        "apiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekRoute\nmetadata: {{name: chat}}\nspec:\n  model: deepseek-flash\n  backends:\n{backends}{more}"
    );
    Gateway::standalone(&world(&route)).await
}

/// How many streams of the route came to this.
async fn came_to(gateway: &Gateway, outcome: &str) -> Result<u64> {
    let series =
        format!("deepseek_gateway_stream_resumes_total{{route=\"default/chat\",outcome=\"{outcome}\"}}");
    counter(gateway, &series).await
}
