//! What the gateway uses and holds, as the kernel and its own metrics say.

use crate::gateway::Gateway;
use anyhow::{Context as _, Result};
use std::fmt;
use std::fs;

/// Growth of memory that is none: by share, or by size.
const GROWTH: (f64, f64) = (0.10, 8.0);

/// At one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Resident memory, in MiB.
    pub memory: f64,
    /// Open files.
    pub files: u64,
    pub threads: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Streams in flight.
    pub streams: u64,
}

impl Sample {
    /// Takes one.
    pub async fn take(gateway: &Gateway) -> Result<Self> {
        let pid = gateway.pid().with_context(|| format!("the gateway is gone:\n{}", gateway.logs()))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|value| value.split_whitespace().next()).context("no such field")?;
            Ok(value.parse()?)
        };
        let kibibytes = u32::try_from(field("VmRSS:")?)?;
        let files = fs::read_dir(format!("/proc/{pid}/fd"))?.count().try_into()?;
        let metrics = metrics(gateway).await?;
        Ok(Self {
            memory: f64::from(kibibytes) / 1024.0,
            files,
            threads: field("Threads:")?,
            in_flight: sum(&metrics, "deepseek_gateway_requests_in_flight", ""),
            streams: sum(&metrics, "deepseek_gateway_streams_in_flight", ""),
        })
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, files, threads, in_flight, streams } = self;
        write!(
            f,
            "{memory:.1} MiB, {files} files, {threads} threads, {in_flight} in flight, {streams} streams"
        )
    }
}

/// All samples, in order.
#[derive(Clone, Debug)]
pub struct Vitals(Vec<Sample>);

impl Vitals {
    /// Begins with what an idle gateway has.
    pub async fn start(gateway: &Gateway) -> Result<Self> {
        Ok(Self(vec![Sample::take(gateway).await?]))
    }

    /// Takes another sample.
    pub async fn sample(&mut self, gateway: &Gateway) -> Result<Sample> {
        let sample = Sample::take(gateway).await?;
        self.0.push(sample);
        Ok(sample)
    }

    /// Before anything was asked.
    pub fn first(&self) -> Sample {
        self.0[0]
    }

    /// The newest.
    pub fn last(&self) -> Sample {
        self.0[self.0.len() - 1]
    }

    /// The most memory, and the median of all.
    pub fn memory(&self) -> (f64, f64) {
        let most = self.0.iter().map(|sample| sample.memory).fold(0.0, f64::max);
        (most, median(&self.0))
    }

    /// The median of memory in the second quarter and in the last: the first is for warming up.
    pub fn quarters(&self) -> (f64, f64) {
        let quarter = self.0.len() / 4;
        (median(&self.0[quarter..(2 * quarter).max(quarter + 1)]), median(&self.0[3 * quarter..]))
    }

    /// Whether memory stays where it is.
    pub fn is_flat(&self) -> bool {
        let (early, late) = self.quarters();
        late - early < GROWTH.1 || late < early * (1.0 + GROWTH.0)
    }
}

fn median(samples: &[Sample]) -> f64 {
    let mut memory: Vec<f64> = samples.iter().map(|sample| sample.memory).collect();
    memory.sort_by(f64::total_cmp);
    memory.get(memory.len() / 2).copied().unwrap_or_default()
}

/// What the gateway did behind the scenes.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// All attempts at upstreams.
    pub attempts: u64,
    /// Those that were cancelled: the client left, or another one was faster.
    pub cancelled: u64,
    /// Broken streams that another upstream went on with.
    pub resumed: u64,
    /// Broken streams that nobody went on with, though the route wanted that.
    pub not_resumed: u64,
    /// Calls that got an answer which was kept.
    pub hits: u64,
    /// Calls that shared the answer of another in flight.
    pub merged: u64,
    /// Calls that got a degraded answer.
    pub degraded: u64,
}

impl Work {
    /// Reads them from the metrics.
    pub async fn read(gateway: &Gateway) -> Result<Self> {
        let metrics = metrics(gateway).await?;
        let (attempts, resumes) =
            ("deepseek_gateway_upstream_attempts_total", "deepseek_gateway_stream_resumes_total");
        let shared = "deepseek_gateway_cache_requests_total";
        let mended = sum(&metrics, resumes, "\"Resumed\"") + sum(&metrics, resumes, "\"Finished\"");
        Ok(Self {
            attempts: sum(&metrics, attempts, ""),
            cancelled: sum(&metrics, attempts, "\"Cancelled\""),
            resumed: mended,
            not_resumed: sum(&metrics, resumes, "") - mended,
            hits: sum(&metrics, shared, "\"hit\""),
            merged: sum(&metrics, shared, "\"merged\""),
            degraded: sum(&metrics, "deepseek_gateway_fallbacks_total", ""),
        })
    }
}

async fn metrics(gateway: &Gateway) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    Ok(client.get(gateway.admin_url("/metrics")).send().await?.text().await?)
}

/// The sum of the series of `name` whose labels hold `label`.
fn sum(metrics: &str, name: &str, label: &str) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name));
    let values = series.filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(label));
    values.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
