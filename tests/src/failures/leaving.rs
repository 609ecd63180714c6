//! Clients that leave, and a gateway that does.

use super::Seen;
use super::answer::Answer;
use super::stage::{SOON, Stage, fakes};
use crate::calls::{client, route, world};
use crate::gateway::Gateway;
use crate::kubernetes::try_eventually;
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mock_deepseek::Mock;
use std::time::{Duration, Instant};

/// Five hundred clients that leave after their first frame.
pub async fn f20_no_place_is_lost_when_clients_leave() -> Result<Seen> {
    let stage = Stage::of(&["a"], "  quota: [{concurrent: 50}]\n").await?;
    stage[0].set_default("chunks=1000&chunk_delay_ms=10");
    for _ in 0..10 {
        try_join_all((0..50).map(|_| async {
            let mut response = stage.post_stream().send().await?;
            ensure!(response.status() == 200, "{}", response.status());
            response.chunk().await?.context("a frame")?;
            Ok(())
        }))
        .await?;
        stage.until_metric(&["requests_in_flight"], 0).await?;
    }
    stage.until_metric(&["streams_in_flight"], 0).await?;
    stage.until_metric(&["account_in_flight", "account=\"default/chat/a\""], 0).await?;
    stage[0].wait_for(|stats| stats.cancelled == 500, SOON).await?;
    stage[0].set_default("plain");
    stage.ask().await?.whole_by("a")?;
    let mut seen = stage.seen("after 500 clients that left: the whole answer");
    seen.calls += 500;
    Ok(seen)
}

/// Before the headers, after ten frames of a thousand, in the pause between two attempts.
pub async fn f21_a_client_that_leaves_takes_its_call_with_it() -> Result<Seen> {
    let stage = Stage::of(&["a"], "").await?;
    let call = || stage.post_stream().send();
    stage[0].set_default("header_delay_ms=20000");
    let waiting = tokio::spawn(call());
    stage[0].wait_for(|stats| stats.in_flight == 1, SOON).await?;
    waiting.abort();
    stage.cancelled_at_once(0, 1).await?;

    stage[0].set_default("thinking=false&chunks=1000&chunk_delay_ms=10");
    let mut response = call().await?;
    let mut seen = 0;
    while seen < 10 {
        let piece = response.chunk().await?.context("a frame")?;
        seen += piece.windows(6).filter(|window| window == b"data: ").count();
    }
    drop(response);
    stage.cancelled_at_once(0, 2).await?;
    let sent = stage[0].last_request().context("a request")?.frames;
    ensure!(sent < 1000, "all {sent} frames were taken");
    stage.until_metric(&["usage_estimated_total"], 2).await.context("billed as an estimate")?;
    let billed = stage.metric(&["tokens_total", "token_type=\"output\""]).await?;
    ensure!((1..500).contains(&billed), "{billed} tokens for about ten frames");

    stage[0].set_default("error=rate_limit&retry_after_ms=1500");
    let pausing = tokio::spawn(call());
    stage[0].wait_for(|stats| stats.status(429) == 1, SOON).await?;
    pausing.abort();
    stage.until_metric(&["requests_in_flight"], 0).await?;
    // Nothing can be awaited that must not come: as long as the pause would have been, and more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.received(&[3])?;
    let mut seen = stage.seen("it had left; the call ended within 100 ms, billed for what was seen");
    seen.calls = 3;
    Ok(seen)
}

/// SIGTERM while twenty streams run; SIGTERM with a stream that outlasts the timeout.
pub async fn f35_a_gateway_that_leaves_finishes_its_streams() -> Result<Seen> {
    let mut stage = leaving("60s").await?;
    stage[0].set_default("thinking=false&chunks=30&chunk_delay_ms=100");
    let begun = try_join_all((0..20).map(|_| begin(&stage))).await?;
    stage.gateway.signal("TERM")?;
    try_eventually("it is not ready any more", SOON, async || {
        let ready = client().get(stage.gateway.admin_url("/readyz")).send().await;
        ensure!(ready.is_err() || ready.is_ok_and(|answer| answer.status() == 503), "it is still ready");
        Ok(())
    })
    .await?;
    for (answer, first) in try_join_all(begun.into_iter().map(rest)).await? {
        ensure!(!answer.broke && answer.body.trim_end().ends_with("[DONE]"), "{first}…{}", answer.end());
        stage.note(&answer);
    }
    let code = stage.gateway.exited(SOON).await?.code();
    ensure!(code == Some(0), "it left with {code:?}");
    let seen = stage.seen(
        "20 streams to their `[DONE]`; what outlasts the timeout ends with the error `stream_interrupted`",
    );

    let short = leaving("1s").await?;
    short[0].set_default("stall");
    let stalled = begin(&short).await?;
    short.gateway.signal("TERM")?;
    let (answer, _) = rest(stalled).await?;
    ensure!(!answer.body.contains("[DONE]"), "a cut answer is not a whole one: {}", answer.end());
    ensure!(
        !answer.broke && answer.code().as_deref() == Some("stream_interrupted"),
        "it is told so: {}",
        answer.end()
    );
    Ok(seen.less(Duration::from_secs(3)))
}

async fn leaving(timeout: &str) -> Result<Stage> {
    let upstreams = fakes(&["a"]).await?;
    let document = format!(
        "{}---\napiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: default}}\n\
         spec: {{drain: {{delay: 0s, timeout: {timeout}}}}}\n",
        world(&route(&upstreams.iter().collect::<Vec<&Mock>>(), ""))
    );
    let gateway = Gateway::standalone(&document).await?;
    Ok(Stage::with(upstreams, gateway))
}

/// A stream whose first bytes have come.
async fn begin(stage: &Stage) -> Result<(reqwest::Response, String, Instant)> {
    let started = Instant::now();
    let mut response = stage.post_stream().send().await?;
    let first = response.chunk().await?.context("a frame")?;
    Ok((response, String::from_utf8_lossy(&first).into_owned(), started))
}

async fn rest((response, first, started): (reqwest::Response, String, Instant)) -> Result<(Answer, String)> {
    Ok((Answer::rest_of(response, started).await?, first))
}
