//! The admin port: probes that tell of this process alone, metrics, the report.

use crate::support::{PROVIDER_KEY, chat, chat_json, client, gateway, hello, hello_streamed, upstream};
use anyhow::{Context as _, Result, ensure};
use deepseek_config::document::Kind;
use deepseek_config::report::Report;
use deepseek_crds::v1alpha1::BackendState;
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

async fn status(gateway: &Gateway, path: &str) -> Result<u16> {
    Ok(client().get(gateway.admin_url(path)).send().await?.status().as_u16())
}

async fn report(gateway: &Gateway, query: &str) -> Result<Report> {
    Ok(client().get(gateway.admin_url(&format!("/status{query}"))).send().await?.json().await?)
}

#[tokio::test]
async fn probes_pass_while_every_backend_is_down() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    a.kill().await?;
    assert!(chat_json(&gateway, &hello()).await?.0 >= 500);
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(status(&gateway, probe).await?, 200, "{probe}");
    }
    assert_eq!(status(&gateway, "/").await?, 200);
    assert_eq!(status(&gateway, "/nothing").await?, 404);
    Ok(())
}

#[tokio::test]
async fn a_process_that_hangs_fails_its_liveness_probe() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    gateway.signal("STOP")?;
    let probe = client().get(gateway.admin_url("/livez")).timeout(Duration::from_millis(500)).send().await;
    gateway.signal("CONT")?;
    assert!(probe.is_err_and(|error| error.is_timeout()));
    assert_eq!(status(&gateway, "/livez").await?, 200);
    Ok(())
}

#[tokio::test]
async fn metrics_tell_of_build_process_configuration_and_traffic() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    let response = client().get(gateway.admin_url("/metrics")).send().await?;
    let kind = response.headers()["content-type"].to_str()?.to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let metrics = response.text().await?;
    for line in [
        &format!("deepseek_gateway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        "deepseek_gateway_config_objects{kind=\"DeepSeekRoute\",state=\"loaded\"} 1",
        "deepseek_gateway_config_objects{kind=\"DeepSeekRoute\",state=\"refused\"} 0",
        "process_start_time_seconds ",
        "process_resident_memory_bytes ",
        "http_requests_total{route=\"default/chat\"",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(line)), "no {line:?} in\n{metrics}");
    }
    assert!(!metrics.contains(PROVIDER_KEY));
    Ok(())
}

#[tokio::test]
async fn the_report_names_what_is_loaded_and_what_is_in_flight() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("stall?stall_after=2");
    let gateway = gateway(&[&a], "").await?;
    let idle = report(&gateway, "").await?;
    let kinds: Vec<_> = idle.objects.iter().map(|object| object.id.kind).collect();
    assert_eq!(kinds, [Kind::Gateway, Kind::Consumer, Kind::Route]);
    assert!(idle.objects.iter().all(|object| object.sha256.is_some() && object.refused.is_none()));
    assert_eq!((idle.in_flight, idle.streams, idle.draining), (0, 0, false));
    assert_eq!((idle.backends[0].name.as_str(), idle.backends[0].state), ("a", BackendState::Healthy));
    assert_eq!(idle.version, env!("CARGO_PKG_VERSION"));
    let mut stream = chat(&gateway, &hello_streamed()).await?;
    stream.chunk().await?.context("a frame")?;
    let busy = report(&gateway, "").await?;
    assert_eq!((busy.in_flight, busy.streams), (1, 1));
    drop(stream);
    eventually("nothing is in flight", SOON, async || {
        let now = report(&gateway, "").await?;
        ensure!((now.in_flight, now.streams) == (0, 0), "{now:?}");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_long_poll_ends_with_a_change_of_health_and_else_with_its_time() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "  failover: {attempts: 1, circuitBreaker: {minRequests: 1}}\n").await?;
    // The account's balance is asked for once at the start, and that it was told is a change of its own.
    a.wait_for(|stats| stats.endpoint("balance") == 1, SOON).await?;
    eventually("the balance was told", SOON, async || {
        let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
        ensure!(metrics.contains("deepseek_gateway_account_balance{"), "{metrics}");
        Ok(())
    })
    .await;
    let seen = report(&gateway, "").await?.revision;
    let now = report(&gateway, &format!("?after={seen}&wait=1")).await?.revision;
    let start = Instant::now();
    assert_eq!(report(&gateway, &format!("?after={now}&wait=1")).await?.revision, now);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(report(&gateway, &format!("?after={}&wait=30", now - 1)).await?.revision, now);

    a.set_default("server-error");
    let (query, body) = (format!("?after={now}&wait=30"), hello());
    let start = Instant::now();
    let (changed, failed) = tokio::join!(report(&gateway, &query), chat_json(&gateway, &body));
    assert!(failed?.0 >= 500);
    let changed = changed?;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(changed.backends[0].state, BackendState::Open);
    assert!(changed.backends[0].reason.is_some() && changed.backends[0].since.is_some());
    Ok(())
}

#[tokio::test]
async fn a_backend_whose_account_is_out_of_balance_is_reported_as_parked() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "  failover: {attempts: 1}\n").await?;
    a.set_default("no-balance");
    assert!(chat_json(&gateway, &hello()).await?.0 >= 400);
    let parked = report(&gateway, "").await?.backends.swap_remove(0);
    assert_eq!((parked.state, parked.reason.as_deref()), (BackendState::Parked, Some("OutOfBalance")));
    assert!(parked.since.is_some());
    Ok(())
}
