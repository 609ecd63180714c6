//! The faults of the upstreams, which change every few seconds.

use anyhow::Result;
use mock_deepseek::{Mock, Scenario, Target};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// What an upstream may suffer: everything the fake has a name for that leaves its answers what they are. Twice as often
/// as one is set, an upstream is well.
const FAULTS: &[&str] = &[
    // Slow.
    "chunk_delay_ms=10",
    "slow-headers?header_delay_ms=700",
    "slow-first-token?first_token_delay_ms=600",
    "slow-first-token?first_token_delay_ms=5000",
    "pause?pause_ms=700",
    "keep-alive",
    "keep-alive-between",
    "keep-alive-forever",
    "blank-slow",
    "stall",
    "stall-keep-alive",
    "stall-keep-alive?fail_every=3",
    // Cut.
    "cut",
    "cut?cut_after=9&fail_every=2",
    "cut-rst",
    "cut-rst?cut_after=12&fail_every=2",
    "cut-clean",
    "cut-clean?cut_after=20",
    "cut-mid-frame",
    "cut-mid-frame?cut_after=15&fail_every=2",
    "cut_at=700",
    "cut_at=2222&cut=rst&fail_every=2",
    "no-done",
    "no-finish",
    "no-resource",
    "no-resource-first",
    "content-filter",
    // Strange.
    "empty-all",
    "no-choices",
    "blank",
    "empty-body",
    "error-first",
    "error-mid",
    "error-mid?error_after=11&fail_every=2",
    "error-mid-open",
    "error-200",
    "html-200",
    "garbage-frame",
    "usage-separate",
    "usage-none",
    "no-space",
    "crlf",
    "split?split=7",
    // Refused.
    "html-502",
    "html-504",
    "html-503",
    "rate-limit",
    "rate-limit-after?retry_after=1",
    "rate-limit-after-ms",
    "over-concurrency",
    "over-concurrency?fail_every=3",
    "timed-out",
    "server-error",
    "overloaded",
    "flaky",
    "half-broken",
    "no-prefix",
    // The connection.
    "close",
    "reset",
    "reset?fail_every=3",
    "hang",
    "hang?fail_every=3",
    "half-headers",
    "cut-headers",
    "not-http",
    "close-after",
    "close-on-reuse",
    "accept-close",
    "accept-reset",
];

/// The keys of an upstream's account.
pub fn keys(name: &str) -> [String; 2] {
    ["first", "second"].map(|which| format!("sk-provider-of-{name}-{which}-0123456789"))
}

/// Changes the weather, for ever.
pub async fn change(upstreams: &[Mock], seed: u64) -> Result<()> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut dead: Option<&Mock> = None;
    loop {
        let upstream = &upstreams[chance.random_range(0..upstreams.len())];
        let kind = chance.random_range(0..100);
        let fault = FAULTS.choose(&mut chance).copied().unwrap_or("plain");
        let pause = Duration::from_millis(chance.random_range(500..3000));
        if let Some(dead) = dead.take() {
            dead.restart().await?;
        }
        if chance.random_ratio(1, 4) {
            upstreams.iter().for_each(clear_account);
        }
        match kind {
            0..50 => upstream.set_default(Scenario::plain()),
            50..88 => upstream.set_default(fault),
            88..91 => {
                upstream.kill().await?;
                dead = Some(upstream);
            }
            91..94 => upstream.drop_connections().await?,
            94..96 => upstream.set_balance("0.00"),
            96..98 => upstream.set_for_key(&keys(upstream.name())[0], "unauthorized"),
            _ => upstream.set_concurrency(Some(2)),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Fine weather everywhere.
pub async fn clear(upstreams: &[Mock]) -> Result<()> {
    for upstream in upstreams {
        upstream.restart().await?;
        upstream.set_default(Scenario::plain());
        clear_account(upstream);
    }
    Ok(())
}

fn clear_account(upstream: &Mock) {
    upstream.set_balance("20.00");
    upstream.set_concurrency(None);
    for key in keys(upstream.name()) {
        upstream.unset(&Target::Key(key));
    }
}
