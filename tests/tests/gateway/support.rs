//! What the tests of the data path share: worlds, routes and calls.

pub use deepseek_tests::calls::*;

use anyhow::{Context as _, Result};
use deepseek_tests::gateway::Gateway;

/// A counter on the metrics page, 0 where it is not there.
pub async fn counter(gateway: &Gateway, series: &str) -> Result<u64> {
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(Ok(0), |value| value.parse().context("a number"))
}

/// How many attempts at a backend of the route `chat` had this outcome.
pub async fn attempts(gateway: &Gateway, backend: &str, outcome: &str) -> Result<u64> {
    let labels = format!("route=\"default/chat\",backend=\"{backend}\",outcome=\"{outcome}\"");
    counter(gateway, &format!("deepseek_gateway_upstream_attempts_total{{{labels}}}")).await
}
