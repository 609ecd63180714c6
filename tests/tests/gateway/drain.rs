//! How the process leaves: not ready, then not listening, then done or cut; always with exit code 0.

use crate::support::{
    KEY, chat, chat_json, client, client_builder, hello, hello_streamed, payloads, route, upstream, world,
};
use anyhow::{Context as _, Result, ensure};
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use mock_deepseek::Mock;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

/// A gateway that leaves with these figures.
async fn leaving(upstream: &Mock, delay: &str, timeout: &str) -> Result<Gateway> {
    let document = format!(
        "{}---\napiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: default}}\nspec: \
         {{drain: {{delay: {delay}, timeout: {timeout}}}}}\n",
        world(&route(&[upstream], ""))
    );
    Gateway::standalone(&document).await
}

async fn closed(gateway: &Gateway) {
    eventually("the listener is closed", SOON, async || {
        ensure!(TcpStream::connect(gateway.address()).await.is_err(), "still accepting");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_idle_gateway_leaves_at_once_on_either_signal() -> Result<()> {
    let a = upstream("a").await?;
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::standalone(&world(&route(&[&a], ""))).await?;
        gateway.signal(signal)?;
        assert_eq!(gateway.exited(SOON).await?.code(), Some(0), "{signal}");
    }
    Ok(())
}

#[tokio::test]
async fn during_the_delay_it_is_not_ready_and_still_serves() -> Result<()> {
    let a = upstream("a").await?;
    let mut gateway = leaving(&a, "2s", "10s").await?;
    gateway.signal("TERM")?;
    eventually("it is not ready", SOON, async || {
        let status = client().get(gateway.admin_url("/readyz")).send().await?.status();
        ensure!(status == 503, "{status}");
        Ok(())
    })
    .await;
    let answer = chat(&gateway, &hello()).await?;
    assert_eq!((answer.status().as_u16(), &answer.headers()["connection"]), (200, &"close".parse()?));
    assert_eq!(client().get(gateway.admin_url("/livez")).send().await?.status(), 200);
    let report: serde_json::Value = client().get(gateway.admin_url("/status")).send().await?.json().await?;
    assert_eq!(report["draining"], true);
    closed(&gateway).await;
    assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_stream_in_flight_ends_by_itself_and_nothing_new_is_taken() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=20&chunk_delay_ms=100&thinking=false");
    let mut gateway = leaving(&a, "0s", "60s").await?;
    let mut stream = chat(&gateway, &hello_streamed()).await?;
    stream.chunk().await?.context("a frame")?;
    gateway.signal("TERM")?;
    closed(&gateway).await;
    assert!(stream.text().await?.trim_end().ends_with("[DONE]"));
    assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn an_http2_connection_is_told_to_go_away_and_its_stream_ends_by_itself() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=20&chunk_delay_ms=100&thinking=false");
    let mut gateway = leaving(&a, "0s", "60s").await?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build()?;
    let url = gateway.url("/v1/chat/completions");
    let mut stream = client.post(&url).bearer_auth(KEY).json(&hello_streamed()).send().await?;
    stream.chunk().await?.context("a frame")?;
    gateway.signal("TERM")?;
    closed(&gateway).await;
    let refused = client.post(&url).bearer_auth(KEY).json(&hello()).send().await;
    assert!(refused.is_err(), "a new stream on the old connection: {refused:?}");
    assert!(stream.text().await?.trim_end().ends_with("[DONE]"));
    assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn an_answer_begun_while_closing_asks_the_client_to_close() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=1500");
    let mut gateway = leaving(&a, "0s", "60s").await?;
    let (body, calling) = (hello(), a.stats().requests);
    let answer = tokio::join!(chat(&gateway, &body), async {
        a.wait_for(|stats| stats.requests > calling, SOON).await?;
        gateway.signal("TERM")
    });
    let response = answer.0?;
    answer.1?;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["connection"], "close");
    assert!(!response.bytes().await?.is_empty());
    assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_is_not_closed_before_the_client_was_told() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=10&chunk_delay_ms=100&thinking=false");
    let mut gateway = leaving(&a, "0s", "60s").await?;
    let kept = client();
    let ask = || kept.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&hello_streamed());
    let mut begun = ask().send().await?;
    begun.chunk().await?.context("a frame")?;
    assert!(!begun.headers().contains_key("connection"), "{:?}", begun.headers());
    gateway.signal("TERM")?;
    closed(&gateway).await;
    assert!(begun.text().await?.trim_end().ends_with("[DONE]"));
    // The listener is closed: only the connection of the first answer can bring this one.
    let next = ask().send().await?;
    assert_eq!((next.status().as_u16(), &next.headers()["connection"]), (200, &"close".parse()?));
    assert!(next.text().await?.trim_end().ends_with("[DONE]"));
    assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn what_outlasts_the_timeout_is_cut_and_told_so() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("stall?stall_after=2");
    for client in [client(), client_builder().http2_prior_knowledge().build()?] {
        let mut gateway = leaving(&a, "0s", "1s").await?;
        let url = gateway.url("/v1/chat/completions");
        let ask = |body| client.post(&url).bearer_auth(KEY).json(&body).send();
        let mut stream = ask(hello_streamed()).await?;
        stream.chunk().await?.context("a frame")?;
        let start = Instant::now();
        gateway.signal("TERM")?;
        let rest = stream.text().await?;
        let payloads = payloads(&rest);
        assert!(payloads.last().is_some_and(|last| last.contains("stream_interrupted")), "{rest}");
        assert!(!payloads.contains(&"[DONE]"), "{rest}");
        assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
        assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_has_no_answer_when_time_is_up_gets_503() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("header_delay_ms=20000");
    for client in [client(), client_builder().http2_prior_knowledge().build()?] {
        for body in [hello(), hello_streamed()] {
            let mut gateway = leaving(&a, "0s", "1s").await?;
            let url = gateway.url("/v1/chat/completions");
            let calling = a.stats().requests;
            let call = tokio::spawn(client.post(&url).bearer_auth(KEY).json(&body).send());
            a.wait_for(|stats| stats.requests > calling, SOON).await?;
            gateway.signal("TERM")?;
            let answer = call.await??;
            assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse()?));
            let error: serde_json::Value = answer.json().await?;
            assert_eq!(error["error"]["code"], "overloaded", "{error}");
            assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_second_signal_cuts_at_once() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("stall?stall_after=2");
    let mut gateway = leaving(&a, "0s", "10m").await?;
    let mut stream = chat(&gateway, &hello_streamed()).await?;
    stream.chunk().await?.context("a frame")?;
    gateway.signal("TERM")?;
    closed(&gateway).await;
    gateway.signal("TERM")?;
    assert_eq!(gateway.exited(SOON).await?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_connection_that_asks_nothing_does_not_hold_up_the_exit() -> Result<()> {
    let a = upstream("a").await?;
    // Nothing, the first letter of either protocol, a part of HTTP/2's first words, and all of them.
    for said in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut gateway = leaving(&a, "0s", "10m").await?;
        let mut silent = TcpStream::connect(gateway.address()).await?;
        silent.write_all(said.as_bytes()).await?;
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200, "by now the silent one was accepted, too");
        gateway.signal("TERM")?;
        assert_eq!(gateway.exited(SOON).await?.code(), Some(0), "{said:?}");
        drop(silent);
    }
    Ok(())
}
