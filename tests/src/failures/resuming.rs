//! Streams that break after content has flowed, on a route that lets another backend go on with them.

use super::Seen;
use super::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use std::collections::HashSet;

const RESUME: &str = "  failover: {midStream: Resume}\n";
/// The only other backend refuses to continue an answer: the first goes on with it, or the client is told of the cut.
pub async fn f12_a_backend_that_takes_no_prefix_is_not_the_end() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], RESUME).await?;
    let healthy = stage.stream().await?.text("content");
    stage[1].set_default("no-prefix");
    stage[0].set_default("cut_after=10&fail_first=1");
    let answer = stage.stream().await?;
    answer.whole_by("a")?;
    ensure!(answer.text("content") == healthy, "nothing lost or said twice: {}", answer.text("content"));
    stage.received(&[3, 1])?;
    stage[0].set_default("cut_after=10&reject_prefix=true");
    let answer = stage.stream().await?;
    answer.interrupted()?;
    ensure!(
        !answer.body.contains("prefix mode"),
        "the refusal is not what the client is told: {}",
        answer.end()
    );
    Ok(stage.seen("the first goes on: the whole answer; nobody can: `stream_interrupted`, never the 400"))
}

/// Ten frames, then a cut; by default nobody is asked again.
pub async fn f44_a_continued_answer_repeats_nothing() -> Result<Seen> {
    let stage = Stage::of(&["a", "b"], RESUME).await?;
    let healthy = stage.stream().await?;
    for fault in
        ["cut_after=10", "cut_after=10&cut=rst&chunk_delay_ms=2", "cut_after=10&cut=clean", "no-finish"]
    {
        stage[0].set_default(fault);
        let answer = stage.stream().await?;
        answer.whole()?;
        for field in ["content", "reasoning_content"] {
            let (got, due) = (answer.text(field), healthy.text(field));
            ensure!(got == due, "{fault}: {got:?} instead of {due:?}");
        }
        let frames = answer.frames();
        let ids: HashSet<_> = frames.iter().map(|frame| frame["id"].as_str().unwrap_or_default()).collect();
        let roles = frames.iter().filter(|frame| frame["choices"][0]["delta"]["role"].is_string()).count();
        let usages = frames.iter().filter(|frame| frame["usage"].is_object()).count();
        ensure!((ids.len(), roles) == (1, 1), "{fault}: {ids:?}, {roles} roles");
        ensure!(usages == 1 || fault == "no-finish", "{fault}: {usages} usages");
    }
    let by_default = Stage::of(&["a", "b"], "").await?;
    by_default[0].set_default("thinking=false&cut_after=10");
    by_default.stream().await?.interrupted()?;
    by_default.received(&[1, 0]).context("without midStream: Resume")?;
    Ok(stage.seen("one unbroken answer: one id, one role, no word twice or lost"))
}
