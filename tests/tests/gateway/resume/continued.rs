//! Broken streams that another backend goes on with.

use super::{Heard, IMPATIENT, RESUME, SOON, ask, came_to, counter, flavored, hear, unbroken};
use crate::support::{chat, client, gateway, over_account, post, upstream};
use anyhow::Result;
use mock_deepseek::{Flavor, Mock, Options, Outcome, Recorded};
use serde_json::{Value, json};
use std::time::Duration;

/// Every way to break after content has flowed.
const BREAKS: &[&str] = &[
    "cut_after=6",
    "cut_after=6&cut=rst",
    "cut_after=6&cut=clean",
    "cut_after=6&cut=mid_frame",
    "no_finish=true",
    "stall_after=6",
    "stall_after=6&stall_keep_alive_ms=50",
    "error_after=6",
    "error_after=6&error_then=stall",
    "answer=[a deepseek-flash] You said: tell&finish_reason=insufficient_system_resource",
    "answer=[a deepseek-flash] You said: tell&finish_reason=abort",
];

/// A route that resumes, and does not wait long where the backend will only be silent.
fn resume_after(scenario: &str) -> String {
    let silent = scenario.starts_with("stall");
    RESUME.to_owned() + if silent { IMPATIENT } else { "" }
}

/// The last message that a backend was sent.
fn last_message(request: &Recorded) -> Value {
    request.json()["messages"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default()
}

#[tokio::test]
async fn whichever_way_a_stream_breaks_the_client_reads_one_unbroken_answer() -> Result<()> {
    let whole = unbroken(&ask(false)).await?;
    for scenario in BREAKS {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(*scenario);
        let gateway = gateway(&[&a, &b], &resume_after(scenario)).await?;
        let heard = hear(&gateway, &ask(false)).await?;
        assert_eq!(heard.clone().in_essence(), whole.clone().in_essence(), "{scenario}");
        assert_eq!((a.stats().requests, b.stats().requests), (1, 1), "{scenario}");

        let request = b.last_request().expect("one");
        assert_eq!(request.path, "/beta/chat/completions", "{scenario}");
        let said = last_message(&request);
        assert_eq!((&said["role"], &said["prefix"]), (&json!("assistant"), &json!(true)), "{scenario}");
        let prefix = said["content"].as_str().unwrap_or_default();
        assert!(!prefix.is_empty() && whole.content.starts_with(prefix), "{scenario}: {prefix:?}");
        let own = &request.json()["messages"][0];
        assert_eq!(own, &ask(false)["messages"][0], "{scenario}: the caller's message is untouched");
        assert_eq!(
            request.header("x-request-id"),
            a.last_request().expect("one").header("x-request-id"),
            "{scenario}: it is the same call"
        );
        assert_eq!(came_to(&gateway, "Resumed").await?, 1, "{scenario}");
        gateway.wait_for_log("\"resume\":\"Resumed\"").await?;
        assert!(!gateway.logs().contains("naïveté"), "{scenario}: what was said stays out of the log");
    }
    Ok(())
}

#[tokio::test]
async fn that_nothing_is_left_to_say_takes_two_to_be_believed() -> Result<()> {
    let whole = unbroken(&ask(false)).await?;
    let (a, b, c) = (upstream("a").await?, upstream("b").await?, upstream("c").await?);
    a.set_default("cut_after=6");
    b.set_default("empty-all");
    let gateway = gateway(&[&a, &b, &c], RESUME).await?;
    let heard = hear(&gateway, &ask(false)).await?;
    assert_eq!(heard.in_essence(), whole.in_essence());
    assert_eq!([&a, &b, &c].map(|upstream| upstream.stats().requests), [1, 1, 1]);

    // Cut behind the last word, before the finish.
    a.set_default(format!("answer={}&cut_after=5", "[a deepseek-flash] all said").as_str());
    b.set_default("empty-all");
    c.set_default("empty-all");
    let heard = hear(&gateway, &ask(false)).await?;
    assert_eq!((heard.content.as_str(), heard.done), ("[a deepseek-flash] all said", true));
    assert_eq!([&a, &b, &c].map(|upstream| upstream.stats().requests), [2, 2, 2]);

    // One that is out cannot say it.
    c.kill().await?;
    let heard = hear(&gateway, &ask(false)).await?;
    assert!(!heard.done && heard.errors.len() == 1, "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn a_backend_that_stalls_is_left_at_once() -> Result<()> {
    for scenario in
        ["stall_after=6", "stall_after=6&stall_keep_alive_ms=50", "error_after=6&error_then=stall"]
    {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(scenario);
        let gateway = gateway(&[&a, &b], &resume_after(scenario)).await?;
        assert!(hear(&gateway, &ask(false)).await?.done);
        a.wait_for(|stats| stats.cancelled == 1, SOON).await?;
        let (left, asked) = (a.last_request().expect("one"), b.last_request().expect("one"));
        assert_eq!(left.outcome, Outcome::Cancelled, "{scenario}");
        let late = left.ended.expect("it has").saturating_duration_since(asked.arrived);
        assert!(late < Duration::from_millis(100), "{scenario}: {late:?} after the other was asked");
        assert_eq!(counter(&gateway, "deepseek_gateway_requests_in_flight").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn reasoning_is_continued_inside_and_content_after_it() -> Result<()> {
    let whole = unbroken(&ask(true)).await?;
    assert!(whole.reasoning.split(' ').count() > 10, "{whole:?}");
    for cut in [3, 8, 18, 22, 24, 30] {
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default(format!("cut_after={cut}").as_str());
        let gateway = gateway(&[&a, &b], RESUME).await?;
        let heard = hear(&gateway, &ask(true)).await?;
        assert_eq!(heard.clone().in_essence(), whole.clone().in_essence(), "cut after {cut}");
        let reasoning =
            |heard: &Heard| heard.usages[0]["completion_tokens_details"]["reasoning_tokens"].clone();
        assert_eq!(reasoning(&heard), reasoning(&whole), "cut after {cut}");
        let said = last_message(&b.last_request().expect("one"));
        let thought = said["reasoning_content"].as_str().unwrap_or_default();
        assert!(!thought.is_empty() && whole.reasoning.starts_with(thought), "cut after {cut}: {said}");
        if said["content"] != "" {
            assert_eq!(thought, whole.reasoning, "cut after {cut}: content comes after all of it");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_again_and_again_is_continued_each_time() -> Result<()> {
    for thinking in [false, true] {
        let whole = unbroken(&ask(thinking)).await?;
        let (a, b, c) = (upstream("a").await?, upstream("b").await?, upstream("c").await?);
        a.set_default("cut_after=4&fail_first=1");
        b.set_default("cut_after=4&cut=rst");
        c.set_default("stall_after=4&fail_first=1");
        let gateway = gateway(&[&a, &b, &c], &resume_after("stall")).await?;
        let heard = hear(&gateway, &ask(thinking)).await?;
        assert_eq!(heard.in_essence(), whole.in_essence());
        let asked = [&a, &b, &c].map(|mock| mock.stats().requests);
        assert_eq!(asked, [2, 1, 1], "when all have broken, one is asked again");
        assert_eq!(came_to(&gateway, "Resumed").await?, 3);
    }
    Ok(())
}

#[tokio::test]
async fn a_backend_that_failed_before_the_answer_began_is_not_asked_to_go_on_while_there_is_another()
-> Result<()> {
    let whole = unbroken(&ask(false)).await?;
    let (first, a, c) = (upstream("first").await?, upstream("a").await?, upstream("c").await?);
    first.set_default("status=503");
    a.set_default("cut_after=6");
    let gateway = gateway(&[&first, &a, &c], RESUME).await?;
    assert_eq!(hear(&gateway, &ask(false)).await?.in_essence(), whole.in_essence());
    assert_eq!([&first, &a, &c].map(|mock| mock.stats().requests), [1, 1, 1]);
    Ok(())
}

#[tokio::test]
async fn a_backend_that_refused_the_call_or_its_continuation_is_not_asked_again_though_no_other_is_left()
-> Result<()> {
    let whole = unbroken(&ask(false)).await?.in_essence();
    let (refuses, a) = (upstream("refuses").await?, upstream("a").await?);
    a.set_default("cut_after=6&fail_first=1");
    refuses.set_default("forbidden");
    let gateway = gateway(&[&refuses, &a], RESUME).await?;
    assert_eq!(hear(&gateway, &ask(false)).await?.in_essence(), whole);
    assert_eq!([&refuses, &a].map(|mock| mock.stats().requests), [1, 2]);

    let (a, refuses) = (upstream("a").await?, upstream("refuses").await?);
    a.set_default("cut_after=6&fail_first=2");
    refuses.set_default("no-prefix");
    let more = "  failover: {midStream: Resume, attempts: 5, backoff: {base: 10ms, max: 50ms}}\n";
    let gateway = crate::support::gateway(&[&a, &refuses], more).await?;
    assert_eq!(hear(&gateway, &ask(false)).await?.in_essence(), whole);
    assert_eq!([&a, &refuses].map(|mock| mock.stats().requests), [3, 1]);
    Ok(())
}

#[tokio::test]
async fn a_lone_backend_goes_on_with_its_own_answer() -> Result<()> {
    let whole = unbroken(&ask(false)).await?;
    let a = upstream("a").await?;
    a.set_default("cut_after=6&fail_first=1");
    let gateway = gateway(&[&a], RESUME).await?;
    assert_eq!(hear(&gateway, &ask(false)).await?.in_essence(), whole.in_essence());
    assert_eq!(a.stats().requests, 2);
    Ok(())
}

#[tokio::test]
async fn vllm_and_sglang_go_on_by_their_own_words() -> Result<()> {
    for flavor in [Flavor::Vllm, Flavor::SgLang] {
        let whole = unbroken(&ask(false)).await?;
        let (a, b) = (upstream("a").await?, Mock::start(Options::flavored("b", flavor)).await?);
        a.set_default("cut_after=6");
        let gateway = flavored(&[(&a, Flavor::DeepSeek), (&b, flavor)], RESUME).await?;
        let heard = hear(&gateway, &ask(false)).await?;
        assert_eq!(heard.in_essence(), whole.clone().in_essence(), "{flavor:?}");
        let request = b.last_request().expect("one");
        assert_eq!(request.path, "/chat/completions");
        let body = request.json();
        assert_eq!(body["continue_final_message"], true, "{body}");
        assert_eq!(body["add_generation_prompt"], false, "{body}");
        assert_eq!(body["chat_template_kwargs"]["thinking"], false, "{body}");
        let said = last_message(&request);
        assert_eq!(said["role"], "assistant");
        assert_eq!(said.get("prefix"), None, "that is DeepSeek's word");
        assert!(whole.content.starts_with(said["content"].as_str().unwrap_or("?")), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn sglang_goes_on_inside_of_reasoning_and_after_it_and_vllm_after_it() -> Result<()> {
    let whole = unbroken(&ask(true)).await?;
    for (flavor, cut) in [(Flavor::SgLang, 8), (Flavor::SgLang, 26), (Flavor::Vllm, 26)] {
        let (a, b) = (upstream("a").await?, Mock::start(Options::flavored("b", flavor)).await?);
        a.set_default(format!("cut_after={cut}").as_str());
        let gateway = flavored(&[(&a, Flavor::DeepSeek), (&b, flavor)], RESUME).await?;
        let heard = hear(&gateway, &ask(true)).await?;
        assert_eq!(heard.in_essence(), whole.clone().in_essence(), "{flavor:?} after {cut}");
        let request = b.last_request().expect("one");
        let said = last_message(&request)["content"].as_str().unwrap_or_default().to_owned();
        let (thinks, marks) = match (flavor, cut) {
            (Flavor::SgLang, 8) => (true, 0),
            (Flavor::SgLang, _) => (true, 1),
            _ => (false, 0),
        };
        assert_eq!(request.json()["chat_template_kwargs"]["thinking"], thinks, "{flavor:?} after {cut}");
        assert_eq!(said.matches("</think>").count(), marks, "{said}");
    }
    Ok(())
}

/// A server that takes the beginning of an answer for all of it says nothing more: that is not believed of vLLM.
#[tokio::test]
async fn a_backend_that_does_not_go_on_is_replaced_and_its_breaker_stays_closed() -> Result<()> {
    let whole = unbroken(&ask(false)).await?;
    let (a, b, c) = (
        upstream("a").await?,
        Mock::start(Options::flavored("b", Flavor::Vllm)).await?,
        upstream("c").await?,
    );
    a.set_default("cut_after=6");
    b.set_default("chunks=0");
    let policy =
        RESUME.replace("attempts: 4", "attempts: 4, circuitBreaker: {errorPercent: 1, minRequests: 1}");
    let gateway =
        flavored(&[(&a, Flavor::DeepSeek), (&b, Flavor::Vllm), (&c, Flavor::DeepSeek)], &policy).await?;
    assert_eq!(hear(&gateway, &ask(false)).await?.in_essence(), whole.in_essence());
    assert_eq!([&a, &b, &c].map(|mock| mock.stats().requests), [1, 1, 1]);
    let report = client().get(gateway.admin_url("/status")).send().await?.json::<Value>().await?;
    let state = |at: usize| report["backends"][at]["state"].as_str();
    assert_eq!((state(0), state(1)), (Some("Open"), Some("Healthy")), "{report}");
    Ok(())
}

#[tokio::test]
async fn what_vllm_or_sglang_began_deepseek_goes_on_with() -> Result<()> {
    for flavor in [Flavor::Vllm, Flavor::SgLang] {
        let (a, b) = (Mock::start(Options::flavored("a", flavor)).await?, upstream("b").await?);
        let gateway = flavored(&[(&a, flavor), (&b, Flavor::DeepSeek)], RESUME).await?;
        for thinking in [false, true] {
            a.set_default("plain");
            let whole = hear(&gateway, &ask(thinking)).await?;
            for cut in [6, 26] {
                a.set_default(format!("cut_after={cut}").as_str());
                let heard = hear(&gateway, &ask(thinking)).await?;
                let told = format!("{flavor:?}, thinking: {thinking}, cut after {cut}");
                assert_eq!(heard.in_essence(), whole.clone().in_essence(), "{told}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_sequence_and_a_limit_hold_for_the_whole_answer() -> Result<()> {
    for (field, value) in
        [("stop", json!(["by a fake, word"])), ("max_tokens", json!(9)), ("max_tokens", json!(5))]
    {
        let mut body = ask(false);
        body[field] = value;
        let whole = unbroken(&body).await?;
        let (a, b) = (upstream("a").await?, upstream("b").await?);
        a.set_default("cut_after=6");
        let gateway = gateway(&[&a, &b], RESUME).await?;
        let heard = hear(&gateway, &body).await?;
        let text = |heard: &Heard| (heard.content.clone(), heard.finish.clone(), heard.done);
        assert_eq!(text(&heard), text(&whole), "{body}");
        if body["max_tokens"] == 9 {
            assert_eq!(b.last_request().expect("one").json()["max_tokens"], 4, "five were said");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_usage_is_the_sum_is_told_once_and_is_what_is_charged() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    let gateway = gateway(&[&a, &b], RESUME).await?;
    a.set_default("cut_after=6");
    b.set_default("prompt_tokens=45&cached_tokens=44");
    let heard = hear(&gateway, &ask(false)).await?;
    let words = heard.content.split(' ').count() as u64;
    let [usage] = heard.usages.as_slice() else { panic!("{heard:?}") };
    assert_eq!(usage["prompt_tokens"], 40, "five of the 45 were said by the first: {usage}");
    assert_eq!(usage["completion_tokens"], words, "{usage}");
    assert_eq!(usage["total_tokens"], 40 + words, "{usage}");
    assert_eq!(usage["prompt_cache_hit_tokens"], 40, "{usage}");
    assert_eq!(usage["prompt_cache_miss_tokens"], 0, "{usage}");
    let tokens = async |kind: &str| {
        let series = format!("deepseek_gateway_tokens_total{{route=\"default/chat\",token_type=\"{kind}\"}}");
        counter(&gateway, &series).await
    };
    assert_eq!(tokens("input").await? + tokens("cached_input").await?, 40);
    assert_eq!(tokens("output").await?, words);
    let estimated = "deepseek_gateway_usage_estimated_total{route=\"default/chat\"}";
    assert_eq!(counter(&gateway, estimated).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_continued_call_is_one_call_to_quotas_and_holds_one_place_at_its_account() -> Result<()> {
    let whole = unbroken(&ask(false)).await?;
    let a = upstream("a").await?;
    let spec = "  concurrency: {models: [{model: deepseek-flash, limit: 1}]}\n";
    let route = format!("  quota: [{{requests: 2, window: 1d}}, {{concurrent: 1}}]\n{RESUME}");
    let gateway = over_account(&a, None, spec, &route).await?;
    for _ in 0..2 {
        a.set_default("cut_after=6&fail_first=1");
        assert_eq!(hear(&gateway, &ask(false)).await?.in_essence(), whole.clone().in_essence());
    }
    assert_eq!(chat(&gateway, &ask(false)).await?.status(), 429, "two requests of two");
    assert_eq!(a.stats().requests, 4);
    let in_flight =
        "deepseek_gateway_account_in_flight{account=\"default/account\",model=\"deepseek-flash\"}";
    assert_eq!(counter(&gateway, in_flight).await?, 0);
    Ok(())
}

#[tokio::test]
async fn while_an_answer_is_continued_the_client_gets_signs_of_life() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6");
    b.set_default("first_token_delay_ms=2500");
    let more = format!("{RESUME}  keepAlive: {{interval: 1s}}\n");
    let gateway = gateway(&[&a, &b], &more).await?;
    let text = chat(&gateway, &ask(false)).await?.text().await?;
    assert!(text.contains("\n\n: keep-alive\n\n"), "{text}");
    assert!(Heard::of(&text).done, "{text}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_while_its_answer_is_mended_cancels_that() -> Result<()> {
    let (a, b) = (upstream("a").await?, upstream("b").await?);
    a.set_default("cut_after=6");
    b.set_default("header_delay_ms=20000");
    let gateway = gateway(&[&a, &b], RESUME).await?;
    let response = post(&gateway, "/v1/chat/completions", &ask(false)).send().await?;
    b.wait_for(|stats| stats.requests == 1, SOON).await?;
    drop(response);
    b.wait_for(|stats| stats.cancelled == 1, SOON).await?;
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("deepseek_gateway_requests_in_flight 0"), "{metrics}");
    Ok(())
}
