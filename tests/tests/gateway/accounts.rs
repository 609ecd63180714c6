//! Accounts: money, limits and keys of one account, whatever routes and keys lead to it.

use crate::support::{
    KEY, PROVIDER_KEY, SECOND, chat, chat_json, client, code, hello, hello_streamed, over_account, post,
    said, upstream,
};
use anyhow::{Result, ensure};
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use futures::future::join_all;
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

async fn metrics(gateway: &Gateway) -> Result<String> {
    Ok(client().get(gateway.admin_url("/metrics")).send().await?.text().await?)
}

#[tokio::test]
async fn an_account_without_balance_is_parked_at_once_and_called_again_when_it_has_some() -> Result<()> {
    let (a, standby) = (upstream("a").await?, upstream("standby").await?);
    a.set_balance("0.00");
    let gateway = over_account(&a, Some(&standby), "", "").await?;
    for _ in 0..50 {
        let (status, answer) = chat_json(&gateway, &hello()).await?;
        assert_eq!(status, 200, "{answer}");
        assert!(said(&answer).starts_with("[standby "), "{answer}");
    }
    assert!(a.stats().requests <= 1, "{:?}", a.stats());
    assert!(
        metrics(&gateway).await?.contains("deepseek_gateway_account_parked{account=\"default/account\"} 1")
    );
    a.set_balance("20.00");
    eventually("it is called again", Duration::from_secs(25), async || {
        let (_, answer) = chat_json(&gateway, &hello()).await?;
        ensure!(said(&answer).starts_with("[a "), "{answer}");
        Ok(())
    })
    .await;
    assert_eq!(a.stats().status(402), u64::from(a.stats().status(402) > 0), "one call at the most met it");
    Ok(())
}

#[tokio::test]
async fn an_account_without_balance_and_without_another_is_told_as_what_it_is() -> Result<()> {
    let a = upstream("a").await?;
    a.set_balance("0.00");
    let gateway = over_account(&a, None, "", "").await?;
    let mut codes = Vec::new();
    for _ in 0..10 {
        let (status, answer) = chat_json(&gateway, &hello()).await?;
        assert!(status == 502 || status == 503, "{answer}");
        codes.push(code(&answer).to_owned());
    }
    assert_eq!(codes.last().map(String::as_str), Some("no_healthy_backend"));
    assert!(a.stats().requests <= 1);
    Ok(())
}

#[tokio::test]
async fn a_429_closes_the_account_for_every_caller_until_it_may_be_asked_again() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=429&retry_after=30");
    let gateway = over_account(&a, None, "", "").await?;
    for attempt in 0..5 {
        let response = chat(&gateway, &hello()).await?;
        assert_eq!(response.status(), 429, "attempt {attempt}");
        let after: u64 = response.headers()["retry-after"].to_str()?.parse()?;
        assert!((25..=30).contains(&after), "{after}");
        assert_eq!(code(&response.json::<Value>().await?), "upstream_rate_limited");
    }
    assert_eq!(a.stats().requests, 1, "never sooner, and not with the other key either");
    Ok(())
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("status=429&retry_after=1&fail_first=1");
    let gateway = over_account(&a, None, "", "").await?;
    let started = Instant::now();
    let (status, answer) = chat_json(&gateway, &hello()).await?;
    assert_eq!(status, 200, "{answer}");
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(a.stats().requests, 2);
    Ok(())
}

#[tokio::test]
async fn the_limit_of_calls_in_flight_is_held_before_sending_and_the_rest_waits_for_its_turn() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=150");
    let spec = "  concurrency: {models: [{model: deepseek-flash, limit: 3}], queueTimeout: 20s}\n";
    let gateway = over_account(&a, None, spec, "").await?;
    let body = hello();
    let answers = join_all((0..20).map(|_| chat_json(&gateway, &body))).await;
    for answer in answers {
        assert_eq!(answer?.0, 200);
    }
    assert!(a.stats().peak_concurrency.values().all(|peak| *peak <= 3), "{:?}", a.stats());
    assert_eq!((a.stats().requests, a.stats().status(429)), (20, 0));
    Ok(())
}

#[tokio::test]
async fn a_model_without_a_limit_of_its_own_has_that_of_the_others() -> Result<()> {
    let a = upstream("a").await?;
    let spec = "  concurrency: {models: [{model: deepseek-flash, limit: 9}], other: 2, queueTimeout: 20s}\n";
    let other = "---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: other}
spec:
  model: other
  backends: [{name: main, model: \"mock/text?header_delay_ms=150\", backendRef: {name: account}}]
";
    let gateway = over_account(&a, None, spec, other).await?;
    let mut body = hello();
    body["model"] = "other".into();
    for answer in join_all((0..10).map(|_| chat_json(&gateway, &body))).await {
        assert_eq!(answer?.0, 200);
    }
    let peaks: Vec<u64> = a.stats().peak_concurrency.into_values().collect();
    assert_eq!(peaks, [2], "all of them, two at a time");
    Ok(())
}

#[tokio::test]
async fn a_balance_is_asked_for_and_said_to_be_low_unless_it_is_not_watched() -> Result<()> {
    let (a, standby) = (upstream("a").await?, upstream("standby").await?);
    a.set_balance("4.00");
    let watched = over_account(&a, Some(&standby), "  balance: {low: \"5.00\"}\n", "").await?;
    eventually("the balance is told, and that it is low", SOON, async || {
        let report: Value = client().get(watched.admin_url("/status")).send().await?.json().await?;
        let balance = &report["accounts"][0]["balance"];
        ensure!(balance["total"] == "4.00" && balance["low"] == true, "{report}");
        Ok(())
    })
    .await;
    assert_eq!(chat_json(&watched, &hello()).await?.0, 200, "calls go on");
    drop(watched);
    let before = (a.stats().endpoint("balance"), standby.stats().endpoint("balance"));
    let _unwatched = over_account(&a, Some(&standby), "  balance: {watch: false}\n", "").await?;
    let asked = move |stats: &mock_deepseek::Stats| stats.endpoint("balance") > before.1;
    standby.wait_for(asked, SOON).await?;
    assert_eq!(a.stats().endpoint("balance"), before.0, "asked in the same round, if at all");
    Ok(())
}

#[tokio::test]
async fn a_full_queue_sends_the_rest_to_the_next_backend_and_else_away_at_once() -> Result<()> {
    let (a, standby) = (upstream("a").await?, upstream("standby").await?);
    a.set_default("header_delay_ms=3000");
    let spec = "  concurrency: {models: [{model: deepseek-flash, limit: 1}], queue: 1, queueTimeout: 20s}\n";
    let alone = over_account(&a, None, spec, "").await?;
    let body = hello();
    let held = [tokio::spawn(post(&alone, "/v1/chat/completions", &body).send())];
    a.wait_for(|stats| stats.in_flight == 1, SOON).await?;
    let waiting = tokio::spawn(post(&alone, "/v1/chat/completions", &body).send());
    eventually("one waits", SOON, async || {
        let text = metrics(&alone).await?;
        ensure!(
            text.contains("account_waiting{account=\"default/account\",model=\"deepseek-flash\"} 1"),
            "{text}"
        );
        Ok(())
    })
    .await;
    let started = Instant::now();
    let response = chat(&alone, &body).await?;
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    waiting.abort();
    for call in held {
        assert_eq!(call.await??.status(), 200);
    }
    let both = over_account(&a, Some(&standby), spec, "").await?;
    let first = tokio::spawn(post(&both, "/v1/chat/completions", &body).send());
    a.wait_for(|stats| stats.in_flight == 1, SOON).await?;
    let (_, answer) = chat_json(&both, &body).await?;
    assert!(said(&answer).starts_with("[standby "), "it does not wait while another is free: {answer}");
    assert_eq!(first.await??.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_real_limit_is_learned_from_the_text_of_a_429_whatever_the_keys() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=100");
    a.set_concurrency(Some(2));
    let gateway = over_account(&a, None, "", "").await?;
    let body = hello();
    join_all((0..6).map(|_| chat_json(&gateway, &body))).await;
    let text = metrics(&gateway).await?;
    assert!(text.contains("account_limit{account=\"default/account\",model=\"deepseek-flash\"} 2"), "{text}");
    let refused = a.stats().status(429);
    for answer in join_all((0..8).map(|_| chat_json(&gateway, &body))).await {
        assert_eq!(answer?.0, 200);
    }
    assert!(a.stats().status(429) <= refused + 2, "the limit is held before sending: {:?}", a.stats());
    Ok(())
}

#[tokio::test]
async fn a_429_for_one_user_id_stops_that_consumer_alone() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = over_account(&a, None, "  userId: Consumer\n", "").await?;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    let sent: Value = serde_json::from_slice(&a.last_request().expect("one").body)?;
    let user = sent["user_id"].as_str().expect("a user_id").to_owned();
    assert_eq!(user.len(), 32);
    assert!(!user.contains("team"), "it tells nothing of the consumer: {user}");
    a.set_for_user(&user, "user-limit");
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 429);
    let other = client().post(gateway.url("/v1/chat/completions")).bearer_auth(SECOND).json(&hello());
    assert_eq!(other.send().await?.status(), 200, "another consumer is served");
    Ok(())
}

#[tokio::test]
async fn no_place_is_lost_when_callers_leave_at_any_moment() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=400&chunk_delay_ms=5&header_delay_ms=20");
    let spec = "  concurrency: {models: [{model: deepseek-flash, limit: 4}], queueTimeout: 20s}\n";
    let gateway = over_account(&a, None, spec, "").await?;
    let body = hello_streamed();
    let leave = |after: u64| {
        let call = post(&gateway, "/v1/chat/completions", &body).send();
        tokio::time::timeout(Duration::from_millis(after), async {
            let mut response = call.await?;
            while response.chunk().await?.is_some() {}
            anyhow::Ok(())
        })
    };
    join_all((0..60).map(|at| leave(5 + at * 7))).await;
    eventually("every place is free again", SOON, async || {
        let text = metrics(&gateway).await?;
        for name in ["in_flight", "waiting"] {
            let free = format!("account_{name}{{account=\"default/account\",model=\"deepseek-flash\"}} 0");
            ensure!(text.contains(&free), "{text}");
        }
        ensure!(text.contains("deepseek_gateway_requests_in_flight 0"), "{text}");
        Ok(())
    })
    .await;
    a.set_default("plain");
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    assert!(!metrics(&gateway).await?.contains(PROVIDER_KEY) && !gateway.logs().contains(KEY));
    Ok(())
}
