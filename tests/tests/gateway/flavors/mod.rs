//! Backends of other kinds: each is asked in its own words, and the client is told in DeepSeek's.

mod errors;

use crate::support::{chat, chat_json, client, code, hello, payloads, post, said, upstream, world};
use anyhow::{Context as _, Result, ensure};
use deepseek_tests::gateway::Gateway;
use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

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
    let name = format!("{flavor:?}").to_lowercase();
    let options =
        if flavor == Flavor::DeepSeek { Options::named(name) } else { Options::flavored(name, flavor) };
    Ok(Mock::start(options).await?)
}

/// A gateway with one route over backends of these kinds, the first asked first; `failover` goes into its policy.
async fn over(backends: &[(&Mock, &str)], failover: &str) -> Result<Gateway> {
    let mut list = String::new();
    for (priority, (mock, flavor)) in backends.iter().enumerate() {
        let base = if *flavor == "DeepSeek" { mock.base_url() } else { format!("{}/v1", mock.base_url()) };
        writeln!(
            list,
            "  - {{name: {}, baseUrl: \"{base}\", flavor: {flavor}, priority: {priority}, apiKey: {{secretRef: {{name: provider, key: token}}}}}}",
            mock.name()
        )?;
    }
    let documents = format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  failover: {{backoff: {{base: 10ms, max: 50ms}}{failover}}}
  backends:
{list}"
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

/// Waits until the series of a metric that begin with `name` come to `wanted`: a call is settled once its last byte is out.
async fn comes_to(gateway: &Gateway, name: &str, wanted: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let counted = metric(gateway, name).await?;
        if counted == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{name} is {counted}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn metric(gateway: &Gateway, name: &str) -> Result<u64> {
    let text = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let values = text.lines().filter(|line| line.starts_with(name));
    Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// The counter of one kind of tokens.
fn tokens(kind: &str) -> String {
    format!("deepseek_gateway_tokens_total{{route=\"default/chat\",token_type=\"{kind}\"}}")
}

const ESTIMATED: &str = "deepseek_gateway_usage_estimated_total";

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

#[tokio::test]
async fn the_usage_chunk_that_only_the_gateway_asked_for_is_counted_and_not_shown() -> Result<()> {
    for (flavor, kind, on_request) in OTHERS {
        let up = server(flavor).await?;
        up.set_default("prompt_tokens=100&cached_tokens=64&completion_tokens=7");
        let gateway = over(&[(&up, kind)], "").await?;
        let unasked = chunks(&chat(&gateway, &asking(true, true)).await?.text().await?);
        assert!(unasked.iter().all(|chunk| chunk["choices"][0].is_object()), "{kind}: {unasked:?}");
        let sent = up.last_request().expect("it was asked").json();
        assert_eq!(sent["stream_options"]["include_usage"] == true, on_request, "{kind}: {sent}");

        let mut body = asking(true, true);
        body["stream_options"] = json!({"include_usage": true});
        let asked = chunks(&chat(&gateway, &body).await?.text().await?);
        let last = asked.last().expect("chunks");
        assert_eq!(last["usage"]["prompt_tokens"], 100, "{kind}: {last}");
        assert_eq!(last["choices"] == json!([]), on_request, "{kind}: {last}");
        chat_json(&gateway, &asking(false, false)).await?;

        // Three answers.
        let cached = if matches!(kind, "OpenAI" | "VLLM") { 192 } else { 0 };
        comes_to(&gateway, &tokens("output"), 21).await.context(kind)?;
        comes_to(&gateway, &tokens("cached_input"), cached).await.context(kind)?;
        comes_to(&gateway, &tokens("input"), 300 - cached).await.context(kind)?;
        comes_to(&gateway, ESTIMATED, 0).await.context(kind)?;
    }
    Ok(())
}

#[tokio::test]
async fn tokens_that_nobody_reports_are_estimated_and_said_to_be() -> Result<()> {
    let up = server(Flavor::Vllm).await?;
    up.set_default("usage-none");
    let gateway = over(&[(&up, "VLLM")], "").await?;
    chat(&gateway, &asking(false, true)).await?.text().await?;
    comes_to(&gateway, ESTIMATED, 1).await?;
    let streamed = metric(&gateway, &tokens("output")).await?;
    assert!(streamed > 10, "{streamed} tokens of a stream");
    chat_json(&gateway, &asking(false, false)).await?;
    comes_to(&gateway, ESTIMATED, 2).await?;
    let both = metric(&gateway, &tokens("output")).await?;
    assert!(both > streamed + 10, "{both} tokens of both");
    Ok(())
}

#[tokio::test]
async fn a_large_whole_answer_is_told_in_deepseeks_words_as_well() -> Result<()> {
    let up = server(Flavor::Vllm).await?;
    up.set_default("tool_calls=1&tool_bytes=2097152");
    let gateway = over(&[(&up, "VLLM")], "").await?;
    let (status, answer) = chat_json(&gateway, &asking(true, false)).await?;
    assert_eq!(status, 200);
    let message = &answer["choices"][0]["message"];
    assert!(message["reasoning_content"].is_string() && message.get("reasoning").is_none());
    let arguments = message["tool_calls"][0]["function"]["arguments"].as_str().expect("arguments");
    assert!(arguments.len() >= 2_097_152);
    Ok(())
}

#[tokio::test]
async fn what_a_server_cannot_carry_is_never_sent_to_it_and_the_next_one_is_asked() -> Result<()> {
    let mut form = asking(false, false);
    form["guided_choice"] = json!(["yes", "no"]);
    let mut template = asking(false, false);
    template["chat_template_kwargs"] = json!({"custom": 1});
    for (field, body) in [("guided_choice", form), ("chat_template_kwargs", template)] {
        let (a, b) = (upstream("a").await?, server(Flavor::Vllm).await?);
        let gateway = over(&[(&a, "DeepSeek"), (&b, "VLLM")], "").await?;
        let (status, answer) = chat_json(&gateway, &body).await?;
        assert_eq!(status, 200, "{field}: {answer}");
        assert_eq!((a.stats().requests, b.stats().requests), (0, 1), "{field}");
        let sent = b.last_request().expect("one").json();
        let whole =
            if field == "guided_choice" { &body[field] } else { &json!({"custom": 1, "thinking": false}) };
        assert_eq!(&sent[field], whole, "{sent}");

        let gateway = over(&[(&a, "DeepSeek")], "").await?;
        let (status, answer) = chat_json(&gateway, &body).await?;
        assert_eq!((status, code(&answer)), (400, "invalid_value"), "{field}: {answer}");
        assert_eq!(answer["error"]["param"], field, "{answer}");
        assert_eq!(a.stats().requests, 0, "{field}");
    }
    Ok(())
}

#[tokio::test]
async fn a_conversation_begun_with_another_server_goes_on_with_deepseek() -> Result<()> {
    let (down, up) = (server(Flavor::Vllm).await?, upstream("up").await?);
    down.set_default("overloaded");
    let gateway = over(&[(&down, "VLLM"), (&up, "DeepSeek")], "").await?;
    let mut body = asking(true, false);
    body["tools"] = json!([{"type": "function", "function": {"name": "weather"}}]);
    let call = json!([{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]);
    body["messages"] = json!([
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": null, "reasoning": "by vLLM", "tool_calls": call},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "and tomorrow?"},
    ]);
    let (status, answer) = chat_json(&gateway, &body).await?;
    assert_eq!(status, 200, "DeepSeek refuses turns without their reasoning: {answer}");
    let sent = up.last_request().expect("it was asked").json();
    assert_eq!(sent["messages"][1]["reasoning_content"], "by vLLM", "{sent}");
    assert!(sent["messages"][1].get("reasoning").is_none(), "{sent}");
    assert_eq!(sent["messages"][3]["reasoning_content"], " ", "{sent}");
    let asked = down.last_request().expect("it was asked first").json();
    assert_eq!(asked["messages"][1], body["messages"][1], "{asked}");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_gone_on_with_by_another_kind_in_one_voice() -> Result<()> {
    for (first, first_kind, second, second_kind, thinks) in [
        (Flavor::DeepSeek, "DeepSeek", Flavor::Vllm, "VLLM", true),
        (Flavor::Vllm, "VLLM", Flavor::DeepSeek, "DeepSeek", true),
        (Flavor::Vllm, "VLLM", Flavor::SgLang, "SGLang", false),
        (Flavor::Azure, "Azure", Flavor::SgLang, "SGLang", false),
    ] {
        let (a, b) = (server(first).await?, server(second).await?);
        // In the middle of the content.
        a.set_default("reasoning_chunks=3&cut_after=12");
        b.set_default("reasoning_chunks=3");
        let gateway = over(&[(&a, first_kind), (&b, second_kind)], ", midStream: Resume").await?;
        let text = chat(&gateway, &asking(thinks, true)).await?.text().await?;
        let chunks = chunks(&text);
        let said = spoken(&chunks, "content");
        assert_eq!(said.matches("You said: hello").count(), 1, "{first_kind} {second_kind}: {text}");
        assert!(said.ends_with("the same each time."), "{first_kind} {second_kind}: {text}");
        assert_eq!(spoken(&chunks, "reasoning_content").is_empty(), !thinks, "{text}");
        assert!(!text.contains("\"reasoning\""), "{text}");
        let ids: HashSet<_> = chunks.iter().map(|chunk| chunk["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{first_kind} {second_kind}: {text}");
        assert!(
            chunks.iter().all(|chunk| chunk["choices"][0].is_object()),
            "{first_kind} {second_kind}: {text}"
        );
        let sent = b.last_request().expect("it was asked").json();
        let goes_on = if second_kind == "DeepSeek" {
            &sent["messages"][1]["prefix"]
        } else {
            &sent["continue_final_message"]
        };
        assert_eq!(goes_on, true, "{sent}");
        assert_eq!((a.stats().requests, b.stats().requests), (1, 1));
    }
    Ok(())
}

#[tokio::test]
async fn completions_of_other_servers_are_metered_and_their_errors_told_alike() -> Result<()> {
    let up = server(Flavor::Vllm).await?;
    up.set_default("completion_tokens=7");
    let gateway = over(&[(&up, "VLLM")], "").await?;
    let body = json!({"model": "deepseek-flash", "prompt": "once upon", "stream": true});
    let text = post(&gateway, "/v1/completions", &body).send().await?.text().await?;
    assert!(chunks(&text).iter().all(|chunk| chunk["choices"][0].is_object()), "{text}");
    assert_eq!(up.last_request().expect("one").json()["stream_options"]["include_usage"], true);
    comes_to(&gateway, &tokens("output"), 7).await?;
    comes_to(&gateway, ESTIMATED, 0).await?;
    up.set_default("error=context");
    let response = post(&gateway, "/v1/completions", &body).send().await?;
    assert_eq!(response.status(), 400);
    assert_eq!(code(&response.json::<Value>().await?), "context_length_exceeded");
    // Nothing to fill in between: vLLM has no `suffix`.
    let mut between = body;
    between["suffix"] = json!("the end");
    let response = post(&gateway, "/v1/completions", &between).send().await?;
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await?["error"]["param"], "suffix");
    assert_eq!(up.stats().requests, 2);
    Ok(())
}
