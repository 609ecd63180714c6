//! Broken streams that nobody goes on with: one explicit error event, and never an end mark.

use super::{Heard, RESUME, ask, came_to, counter, flavored, hear};
use crate::support::{gateway, post, route, upstream, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::{Flavor, Mock, Options};
use serde_json::{Value, json};

/// One error event at the end, and nothing that passes for an end.
fn assert_given_up(heard: &Heard, outcome: &str, told: &str) {
    let [error] = heard.errors.as_slice() else { panic!("{told}: {heard:?}") };
    assert_eq!(error["code"], "stream_interrupted", "{told}: {heard:?}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.ends_with(&format!("It was not continued: {outcome}.")), "{told}: {message}");
    assert!(!heard.done && heard.finish.is_empty(), "{told}: {heard:?}");
}

async fn assert_noted(gateway: &Gateway, outcome: &str) -> Result<()> {
    assert_eq!(came_to(gateway, outcome).await?, 1, "{outcome}");
    gateway.wait_for_log(&format!("\"resume\":\"{outcome}\"")).await
}

#[tokio::test]
async fn what_a_prefix_cannot_hold_is_not_continued() -> Result<()> {
    let with = |field: &str, value: Value| {
        let mut body = ask(false);
        body[field] = value;
        body
    };
    let tools =
        json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let mut json_mode = with("response_format", json!({"type": "json_object"}));
    json_mode["messages"][0]["content"] = "say it in json".into();
    for (body, scenario, outcome) in [
        (with("tools", tools), "tool_calls=1&cut_after=4", "Tools"),
        (with("logprobs", json!(true)), "cut_after=4", "Logprobs"),
        (json_mode, "chunks=5&cut_after=3", "Structured"),
        (ask(false), "garbage_at=3&cut_after=6", "Unreadable"),
        (ask(false), "chunks=20&chunk_bytes=307200&cut_after=18", "TooLong"),
    ] {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(scenario);
        let gateway = gateway(&[&a, &b], RESUME).await?;
        let stream = crate::support::chat(&gateway, &body).await?.text().await?;
        let stream = stream.replace("data: {\"id\":\n\n", "");
        let Some(start) = stream.rfind("data: ") else { panic!("{stream}") };
        assert_given_up(&Heard::of(&stream[start..]), outcome, scenario);
        assert_eq!((a.stats().requests, b.stats().requests), (1, 0), "{scenario}: nothing is sent twice");
        assert_noted(&gateway, outcome).await?;
    }
    Ok(())
}

#[tokio::test]
async fn several_choices_are_not_continued() -> Result<()> {
    let (a, b) = (
        Mock::start(Options::flavored("a", Flavor::Vllm)).await?,
        Mock::start(Options::flavored("b", Flavor::Vllm)).await?,
    );
    a.set_default("cut_after=6");
    let gateway = flavored(&[(&a, Flavor::Vllm), (&b, Flavor::Vllm)], RESUME).await?;
    let mut body = ask(false);
    body["n"] = json!(2);
    assert_given_up(&hear(&gateway, &body).await?, "Choices", "n = 2");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    assert_noted(&gateway, "Choices").await
}

#[tokio::test]
async fn a_flavor_without_prefixes_is_not_asked_to_go_on() -> Result<()> {
    for (first, second) in [
        (Flavor::OpenAi, Flavor::OpenAi),
        (Flavor::OpenAi, Flavor::Ollama),
        (Flavor::SiliconFlow, Flavor::Azure),
    ] {
        let a = Mock::start(Options::flavored("a", first)).await?;
        let b = Mock::start(Options::flavored("b", second)).await?;
        a.set_default("cut_after=6&thinking=false");
        let gateway = flavored(&[(&a, first), (&b, second)], RESUME).await?;
        let mut body = ask(false);
        body.as_object_mut().expect("an object").remove("thinking");
        assert_given_up(&hear(&gateway, &body).await?, "Unsupported", &format!("{first:?}"));
        assert_eq!((a.stats().requests, b.stats().requests), (1, 0), "{second:?} would begin anew");
        assert_noted(&gateway, "Unsupported").await?;
    }
    Ok(())
}

#[tokio::test]
async fn vllm_is_not_asked_to_go_on_inside_of_reasoning() -> Result<()> {
    let a = Mock::start(Options::flavored("a", Flavor::Vllm)).await?;
    let b = Mock::start(Options::flavored("b", Flavor::Vllm)).await?;
    a.set_default("cut_after=6&thinking=true");
    let gateway = flavored(&[(&a, Flavor::Vllm), (&b, Flavor::Vllm)], RESUME).await?;
    assert_given_up(&hear(&gateway, &ask(true)).await?, "Unsupported", "in the reasoning");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_request_is_not_kept_for_a_break_where_that_would_leave_no_room_for_others() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("answer=one two three four five six&cut_after=4");
    let limits = "apiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {name: default}\n\
                  spec: {default: true, limits: {maxBufferedBytes: 1048576}}\n---\n";
    let gateway = Gateway::standalone(&world(&format!("{limits}{}", route(&[&a, &b], RESUME)))).await?;
    let mut large = ask(false);
    large["messages"][0]["content"] = "x".repeat(600_000).into();
    assert_given_up(&hear(&gateway, &large).await?, "NoRoom", "a body of more than half");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    assert_noted(&gateway, "NoRoom").await?;
    a.set_default("cut_after=6");
    let small = hear(&gateway, &ask(false)).await?;
    assert!(small.done && small.errors.is_empty(), "{small:?}");
    assert_eq!(b.stats().requests, 1, "what is small is continued as ever");
    Ok(())
}

/// F12: a backend that refuses to continue an answer leaves an error, not the text a second time.
#[tokio::test]
async fn where_all_refuse_to_go_on_the_client_is_told() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6&reject_prefix=true");
    b.set_default("no-prefix");
    let gateway = gateway(&[&a, &b], RESUME).await?;
    let heard = hear(&gateway, &ask(false)).await?;
    assert_given_up(&heard, "Failed", "refused");
    assert_eq!(heard.content.matches("You").count(), 1, "{heard:?}");
    assert_eq!((a.stats().requests, b.stats().requests), (2, 1), "each is asked once to go on");
    assert_eq!(b.stats().status(400), 1);
    assert_noted(&gateway, "Failed").await?;
    let report =
        crate::support::client().get(gateway.admin_url("/status")).send().await?.json::<Value>().await?;
    assert_eq!(report["backends"][1]["state"], "Healthy", "a refusal is no illness: {report}");
    Ok(())
}

/// F37, F44: nothing is sent a second time after content has flowed, unless the route wants that.
#[tokio::test]
async fn without_resume_a_break_is_told_and_nothing_is_sent_twice() -> Result<()> {
    for policy in ["", "  failover: {midStream: Fail}\n"] {
        for scenario in ["cut_after=10", "cut_after=10&cut=rst", "error_after=10"] {
            let (a, b) = (upstream("a").await?, upstream("b").await?);
            a.set_default(scenario);
            let gateway = gateway(&[&a, &b], policy).await?;
            let heard = hear(&gateway, &ask(false)).await?;
            assert_eq!((heard.errors.len(), heard.done), (1, false), "{scenario}: {heard:?}");
            assert_eq!((a.stats().requests, b.stats().requests), (1, 0), "{scenario}");
            gateway.wait_for_log("\"resume\":\"\"").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_deadline_of_the_call_holds_for_its_continuation() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6");
    b.set_default("header_delay_ms=60000");
    let gateway = gateway(&[&a, &b], RESUME).await?;
    let call = post(&gateway, "/v1/chat/completions", &ask(false)).header("x-request-timeout-ms", "3000");
    let heard = Heard::of(&call.send().await?.text().await?);
    assert_given_up(&heard, "Failed", "time was up");
    b.wait_for(|stats| stats.cancelled == 1, super::SOON).await?;
    Ok(())
}

#[tokio::test]
async fn no_more_backends_are_asked_than_the_route_allows_for_the_whole_call() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6");
    let gateway = gateway(&[&a, &b], "  failover: {midStream: Resume, attempts: 1}\n").await?;
    assert_given_up(&hear(&gateway, &ask(false)).await?, "Failed", "one attempt");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    Ok(())
}

#[tokio::test]
async fn other_endpoints_than_chat_are_not_continued() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6");
    let gateway = gateway(&[&a, &b], RESUME).await?;
    let completion =
        json!({"model": "deepseek-flash", "prompt": "def f():", "max_tokens": 50, "stream": true});
    let message = json!({"model": "deepseek-flash", "max_tokens": 500, "stream": true, "messages": [{"role": "user", "content": "hello"}]});
    let response = json!({"model": "deepseek-flash", "stream": true, "input": "hello"});
    for (path, body) in
        [("/beta/completions", completion), ("/anthropic/v1/messages", message), ("/v1/responses", response)]
    {
        let text = post(&gateway, path, &body).send().await?.text().await?;
        assert_eq!(text.matches("stream_interrupted").count(), 1, "{path}: {text}");
        assert!(text.contains("It was not continued: Unsupported."), "{path}: {text}");
        assert!(!text.contains("[DONE]") && !text.contains("message_stop"), "{path}: {text}");
    }
    assert_eq!((a.stats().requests, b.stats().requests), (3, 0));
    Ok(())
}

#[tokio::test]
async fn what_a_backend_counted_as_it_gave_up_is_charged() -> Result<()> {
    let (a, b) = (upstream("a").await?, Mock::start(Options::flavored("b", Flavor::OpenAi)).await?);
    a.set_default(
        "finish_reason=insufficient_system_resource&prompt_tokens=77&cached_tokens=64&reject_prefix=true",
    );
    let gateway = flavored(&[(&a, Flavor::DeepSeek), (&b, Flavor::OpenAi)], RESUME).await?;
    assert_given_up(&hear(&gateway, &ask(false)).await?, "Failed", "gave up");
    let tokens = async |kind: &str| {
        let series = format!("deepseek_gateway_tokens_total{{route=\"default/chat\",token_type=\"{kind}\"}}");
        counter(&gateway, &series).await
    };
    assert_eq!((tokens("input").await?, tokens("cached_input").await?), (13, 64));
    // What was sent counts by events, if that is more: the role's and the last one hold no token.
    assert!((26..=28).contains(&tokens("output").await?));
    Ok(())
}
