//! Accounts: money and limits that all keys of one account share.

use super::Seen;
use super::answer::Answer;
use super::stage::{SOON, Stage, fakes};
use crate::calls::{SECOND, client, hello, over_account};
use crate::kubernetes::try_eventually;
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

/// 402 to everything, for a thousand calls; then money comes in.
pub async fn f13_an_account_out_of_balance_is_left_alone_until_it_has_some() -> Result<Seen> {
    let upstreams = fakes(&["a", "b"]).await?;
    upstreams[0].set_balance("0.00");
    let spec = "  balance: {interval: 10s}\n";
    let gateway = over_account(&upstreams[0], Some(&upstreams[1]), spec, "").await?;
    let stage = Stage::with(upstreams, gateway);
    stage.ask().await?.whole_by("b")?;
    for _ in 0..20 {
        let answers = stage.burst(50, &hello()).await?;
        answers.iter().try_for_each(|answer| answer.whole_by("b"))?;
    }
    let met = stage[0].stats().requests;
    ensure!(met <= 1, "the empty account was called {met} times in 1001");
    let parked = stage.metric(&["account_parked{account=\"default/account\"}"]).await?;
    ensure!(parked == 1, "it is shown as parked");
    let seen = stage.seen("");
    stage[0].set_balance("20.00");
    try_eventually("the account is called again", Duration::from_secs(30), async || {
        stage.ask().await?.whole_by("a")
    })
    .await?;
    Ok(seen)
}

/// Two keys of one account, whose limit falls from 5 to 3.
pub async fn f40_an_account_is_the_pool_and_its_limit_is_learned() -> Result<Seen> {
    let upstreams = fakes(&["a"]).await?;
    upstreams[0].set_default("header_delay_ms=100");
    let gateway = over_account(&upstreams[0], None, "", "").await?;
    let stage = Stage::with(upstreams, gateway);
    for limit in [5_u32, 3] {
        stage[0].set_concurrency(Some(limit));
        try_eventually("the limit is learned", SOON, async || {
            stage.burst(8, &hello()).await?;
            let learned = stage.metric(&["account_limit", "model=\"deepseek-flash\""]).await?;
            ensure!(learned == u64::from(limit), "{limit} is said, {learned} was learned");
            Ok(())
        })
        .await?;
        let refused = stage[0].stats().status(429);
        let answers = stage.burst(12, &hello()).await?;
        answers.iter().try_for_each(|answer| answer.whole_by("a"))?;
        let more = stage[0].stats().status(429) - refused;
        ensure!(more <= 2, "{more} refusals once the limit is known");
    }
    let keys = stage[0].stats().by_key.len();
    ensure!(keys == 2, "both keys are in use: {keys}");
    Ok(stage.seen("answers, after a short wait for a place"))
}

/// 429 for one `user_id`, ten times and more: the breaker would be open.
pub async fn f41_a_limit_of_one_user_stops_that_user_alone() -> Result<Seen> {
    let upstreams = fakes(&["a"]).await?;
    let gateway = over_account(&upstreams[0], None, "  userId: Consumer\n", "").await?;
    let stage = Stage::with(upstreams, gateway);
    stage.ask().await?.whole_by("a")?;
    let sent = stage[0].last_request().context("one request")?.json();
    let user = sent["user_id"].as_str().context("a user_id")?.to_owned();
    stage[0].set_for_user(&user, "user-limit");
    for _ in 0..12 {
        stage.ask().await?.refused(429, "upstream_rate_limited")?;
    }
    let url = stage.gateway.url("/v1/chat/completions");
    let other = Answer::to(client().post(url).bearer_auth(SECOND).json(&hello())).await?;
    other.whole_by("a")?;
    stage.note(&other);
    Ok(stage.seen("429 for that one; the whole answer for another"))
}
