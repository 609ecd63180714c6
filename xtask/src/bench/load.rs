//! Load by `wrk`, and what it does to a proxy.

use std::{process::Command, time::Duration};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    cores::{Cores, pinned},
    usage::Program,
};
use crate::{cargo::workspace, http};

/// The key that tests/bench/gateway.yaml gives its consumer.
pub(super) const KEY: &str = "sk-consumer-of-the-bench";
/// Caches are filled and connections open after this.
const WARM_UP: Duration = Duration::from_secs(1);

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Stream,
}

impl Kind {
    pub(super) fn request(self) -> Value {
        let messages = json!([
            {"role": "system", "content": "You are a helpful assistant. Answer in one short paragraph."},
            {"role": "user", "content": "Why is the sky blue in the daytime and red in the evening?"},
        ]);
        json!({
            "model": "deepseek-flash", "messages": messages, "temperature": 0.7, "max_tokens": 512,
            "stream": self == Self::Stream,
        })
    }
}

/// What `wrk` measured.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Report {
    requests: u64,
    micros: u64,
    p50: u64,
    p99: u64,
    errors: u64,
    refused: u64,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Of the proxy; nothing when there is none.
    pub(super) proxy: Option<Cost>,
}

/// What a proxy used while it was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) cpu_per_request: Duration,
    /// The part of its core that was in use.
    pub(super) busy: f64,
    pub(super) memory: u64,
}

/// How load is made.
pub(super) struct Load<'a> {
    pub(super) cores: &'a Cores,
    pub(super) time: Duration,
}

impl Load<'_> {
    /// Warms up, then measures `url` under `connections` connections; `proxy` is what stands there.
    pub(super) fn measure(
        &self,
        url: &str,
        kind: Kind,
        connections: usize,
        proxy: Option<Program>,
    ) -> anyhow::Result<Measured> {
        self.wrk(url, kind, connections, WARM_UP)?;
        let before = proxy.map(Program::cpu).transpose()?;
        let report = self.wrk(url, kind, connections, self.time)?;
        let Report { requests, micros, p50, p99, errors, refused } = report;
        anyhow::ensure!(
            requests > 0 && errors == 0 && refused == 0,
            "{url}: {requests} requests, {refused} refused, {errors} broken: no figure can be trusted"
        );
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests in some seconds")]
        let count = requests as f64;
        let time = Duration::from_micros(micros);
        let cost = |proxy: Program, before: Duration| {
            let cpu = proxy.cpu()?.saturating_sub(before);
            anyhow::Ok(Cost {
                cpu_per_request: cpu.div_f64(count),
                busy: cpu.as_secs_f64() / time.as_secs_f64(),
                memory: proxy.memory()?,
            })
        };
        Ok(Measured {
            per_second: count / time.as_secs_f64(),
            p50: Duration::from_micros(p50),
            p99: Duration::from_micros(p99),
            proxy: proxy.zip(before).map(|(proxy, before)| cost(proxy, before)).transpose()?,
        })
    }

    fn wrk(&self, url: &str, kind: Kind, connections: usize, time: Duration) -> anyhow::Result<Report> {
        let mut wrk: Command = pinned(&self.cores.others, "wrk");
        wrk.args(["--threads=1", &format!("--connections={connections}"), "--timeout=10s"]);
        wrk.arg(format!("--duration={}s", time.as_secs()));
        wrk.arg("--script").arg(workspace().join("tests/bench/post.lua"));
        wrk.env("BENCH_BODY", kind.request().to_string()).env("BENCH_KEY", KEY);
        let output = wrk.arg(format!("{url}/v1/chat/completions")).output().context("failed to start wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let report = text.lines().find(|line| line.starts_with('{'));
        let report = report.with_context(|| format!("wrk says nothing: {text}{output:?}"))?;
        serde_json::from_str(report).with_context(|| format!("wrk says {report}"))
    }
}

/// Whether `url` answers just as the fake itself does: a figure for a wrong answer is none.
pub(super) fn check_answer(url: &str, kind: Kind, expected: Option<&str>) -> anyhow::Result<String> {
    let (status, body) = http::post(&format!("{url}/v1/chat/completions"), KEY, &kind.request())?;
    anyhow::ensure!(status == 200, "{url} answers {status}: {body}");
    let is_whole = match kind {
        Kind::Whole => serde_json::from_str::<Value>(&body).is_ok_and(|it| it["choices"].is_array()),
        Kind::Stream => body.trim_end().ends_with("data: [DONE]"),
    };
    anyhow::ensure!(is_whole, "{url} answers with something else: {body}");
    anyhow::ensure!(expected.is_none_or(|it| it == body), "{url} changes the answer to {body}");
    Ok(body)
}
