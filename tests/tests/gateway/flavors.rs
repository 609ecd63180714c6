//! Backends of other kinds: each is asked in its own words, and the client is told in DeepSeek's.

use crate::support::{chat, chat_json, client, code, hello, payloads, said, upstream, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Every kind but DeepSeek: as the fake has it, as manifests name it, and whether its streams tell usage in a chunk of
/// its own.
const OTHERS: [(Flavor, &str, bool); 6] = [
    (Flavor::Vllm, "VLLM", true),
    (Flavor::SgLang, "SGLang", true),
    (Flavor::OpenAi, "OpenAI", true),
    (Flavor::Azure, "Azure", true),
    (Flavor::Ollama, "Ollama", true),
    (Flavor::SiliconFlow, "SiliconFlow", false),
];

/// A fake server of this kind.
async fn server(flavor: Flavor) -> Result<Mock> {
    Ok(Mock::start(Options::flavored(format!("{flavor:?}").to_lowercase(), flavor)).await?)
}

/// A gateway with one route over backends of these kinds, the first asked first.
async fn over(backends: &[(&Mock, &str)], more: &str) -> Result<Gateway> {
    let mut list = String::new();
    for (priority, (mock, flavor)) in backends.iter().enumerate() {
        let base = if *flavor == "DeepSeek" { mock.base_url() } else { format!("{}/v1", mock.base_url()) };
        writeln!(
            list,
            "  - {{name: {}, baseUrl: \"{base}\", flavor: {flavor}, priority: {priority}}}",
            mock.name()
        )?;
    }
    let documents = format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  failover: {{backoff: {{base: 10ms, max: 50ms}}}}
  backends:
{list}{more}"
    );
    Gateway::standalone(&world(&documents)).await
}

fn asking(thinks: bool, stream: bool) -> Value {
    let mut body = hello();
    body["thinking"] = json!({"type": if thinks { "enabled" } else { "disabled" }});
    if stream {
        body["stream"] = json!(true);
    }
    body
}

/// The chunks of a stream, which must have ended well.
fn chunks(stream: &str) -> Vec<Value> {
    let mut payloads = payloads(stream);
    assert_eq!(payloads.pop(), Some("[DONE]"), "{stream}");
    payloads.into_iter().map(|payload| serde_json::from_str(payload).expect("JSON")).collect()
}

/// All that the deltas say under `field`.
fn spoken(chunks: &[Value], field: &str) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str()).collect()
}

/// What this kind of server has to be told about thinking.
fn told_to_think(kind: &str, sent: &Value) -> Value {
    match kind {
        "VLLM" | "SGLang" => sent["chat_template_kwargs"]["thinking"].clone(),
        "SiliconFlow" => sent["enable_thinking"].clone(),
        _ => json!(sent["reasoning_effort"] != "none"),
    }
}

async fn metric(gateway: &Gateway, name: &str) -> Result<f64> {
    let text = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let values = text.lines().filter(|line| line.starts_with(name));
    Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

#[tokio::test]
async fn failing_over_to_any_kind_of_server_the_client_reads_deepseeks_words() -> Result<()> {
    for (flavor, kind, _) in OTHERS {
        let (down, up) = (upstream("down").await?, server(flavor).await?);
        down.set_default("overloaded");
        let gateway = over(&[(&down, "DeepSeek"), (&up, kind)], "").await?;
        for thinks in [true, false] {
            let text = chat(&gateway, &asking(thinks, true)).await?.text().await?;
            let chunks = chunks(&text);
            assert!(spoken(&chunks, "content").contains("You said: hello"), "{kind}: {text}");
            assert_eq!(spoken(&chunks, "reasoning_content").is_empty(), !thinks, "{kind}: {text}");
            assert!(!text.contains("\"reasoning\""), "{kind}: {text}");
            let sent = up.last_request().expect("it was asked").json();
            assert_eq!(told_to_think(kind, &sent), json!(thinks), "{kind}: {sent}");
            assert!(sent.get("thinking").is_none(), "{kind}: {sent}");

            let (status, answer) = chat_json(&gateway, &asking(thinks, false)).await?;
            assert_eq!(status, 200, "{kind}: {answer}");
            assert!(said(&answer).contains("You said: hello"), "{kind}: {answer}");
            let message = &answer["choices"][0]["message"];
            assert_eq!(message["reasoning_content"].is_string(), thinks, "{kind}: {answer}");
            assert!(message.get("reasoning").is_none(), "{kind}: {answer}");
            let sent = up.last_request().expect("it was asked").json();
            assert_eq!(told_to_think(kind, &sent), json!(thinks), "{kind}: {sent}");
            assert!(sent.get("stream_options").is_none(), "{kind}: {sent}");
        }
        // Once it had failed often enough the first was left alone.
        assert!(down.stats().requests > 0 && up.stats().requests == 4, "{kind}");
    }
    Ok(())
}
