//! The stage of a case: fake backends, a gateway in front of them, and the books of what a client went through.

use super::Seen;
use super::answer::Answer;
use crate::calls::{KEY, client, gateway, hello, hello_streamed};
use crate::gateway::Gateway;
use crate::kubernetes::try_eventually;
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mock_deepseek::{Mock, Options, Outcome};
use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::ops::Index;
use std::time::{Duration, Instant};

/// How long a condition may take to come true.
pub const SOON: Duration = Duration::from_secs(20);

/// A gateway in front of fakes.
pub struct Stage {
    /// The fakes, first come first asked.
    pub upstreams: Vec<Mock>,
    /// The gateway.
    pub gateway: Gateway,
    client: Client,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    calls: u64,
    longest: Duration,
    last: String,
}

impl Stage {
    /// A route over fakes with these names, the first with the lowest priority; `more` is further YAML of the route.
    pub async fn of(names: &[&str], more: &str) -> Result<Self> {
        let upstreams = fakes(names).await?;
        let gateway = gateway(&upstreams.iter().collect::<Vec<_>>(), more).await?;
        Ok(Self::with(upstreams, gateway))
    }

    /// A gateway that the case has started itself.
    pub fn with(upstreams: Vec<Mock>, gateway: Gateway) -> Self {
        Self { upstreams, gateway, client: client(), books: Mutex::default() }
    }

    /// A call, to be sent by the case.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.gateway.url(path)).bearer_auth(KEY).json(body)
    }

    /// A chat call whose answer comes as a stream, to be sent by the case.
    pub fn post_stream(&self) -> RequestBuilder {
        self.post("/v1/chat/completions", &hello_streamed())
    }

    /// Makes a call and reads its answer.
    pub async fn call(&self, path: &str, body: &Value) -> Result<Answer> {
        let answer = Answer::to(self.post(path, body)).await?;
        self.note(&answer);
        Ok(answer)
    }

    /// Makes `count` chat calls at the same time. What they wait for each other is no time that a failure adds.
    pub async fn burst(&self, count: usize, body: &Value) -> Result<Vec<Answer>> {
        let longest = self.books.lock().longest;
        let answers = try_join_all((0..count).map(|_| self.chat(body))).await?;
        self.books.lock().longest = longest;
        Ok(answers)
    }

    /// Takes an answer into the books that a case has read by itself.
    pub fn note(&self, answer: &Answer) {
        let mut books = self.books.lock();
        books.calls += 1;
        books.longest = books.longest.max(answer.took);
        books.last = answer.describe();
    }

    /// A chat call.
    pub async fn chat(&self, body: &Value) -> Result<Answer> {
        self.call("/v1/chat/completions", body).await
    }

    /// A chat call whose answer comes as a stream.
    pub async fn stream(&self) -> Result<Answer> {
        self.chat(&hello_streamed()).await
    }

    /// A chat call whose answer comes whole.
    pub async fn ask(&self) -> Result<Answer> {
        self.chat(&hello()).await
    }

    /// The gateway's metrics.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.client.get(self.gateway.admin_url("/metrics")).send().await?.text().await?)
    }

    /// The value of the first metric whose line has all of `parts`; 0 where there is none.
    pub async fn metric(&self, parts: &[&str]) -> Result<u64> {
        let text = self.metrics().await?;
        let line = text.lines().find(|line| !line.starts_with('#') && parts.iter().all(|p| line.contains(p)));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
    }

    /// Seconds of CPU that the gateway has used.
    pub async fn cpu(&self) -> Result<f64> {
        let text = self.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
        Ok(line.context("no CPU time is told")?.parse()?)
    }

    /// Waits until a metric has a value.
    pub async fn until_metric(&self, parts: &[&str], value: u64) -> Result<()> {
        try_eventually(&format!("{parts:?} is {value}"), SOON, async || {
            let now = self.metric(parts).await?;
            ensure!(now == value, "it is {now}");
            Ok(())
        })
        .await
    }

    /// The sum of the requests that the backends have received.
    pub fn attempts(&self) -> u64 {
        self.upstreams.iter().map(|upstream| upstream.stats().requests).sum()
    }

    /// Fails unless the backends have received these numbers of requests.
    pub fn received(&self, counts: &[u64]) -> Result<()> {
        let got: Vec<_> = self.upstreams.iter().map(|upstream| upstream.stats().requests).collect();
        ensure!(got == counts, "the backends received {got:?} instead of {counts:?}");
        Ok(())
    }

    /// Waits until a backend has seen `count` of its requests cancelled; fails if it took more than 100 ms from now on.
    pub async fn cancelled_at_once(&self, backend: usize, count: u64) -> Result<()> {
        let started = Instant::now();
        self[backend].wait_for(|stats| stats.cancelled == count, SOON).await?;
        let took = started.elapsed();
        ensure!(took < Duration::from_millis(100), "cancelled after {took:?} only");
        Ok(())
    }

    /// Waits until a backend has seen its newest request cancelled; fails if that was more than 100 ms after `left`.
    pub async fn cancelled_when_left(&self, backend: usize, left: Instant) -> Result<()> {
        self[backend].wait_for(|stats| stats.in_flight == 0, SOON).await?;
        let request = self[backend].last_request().context("a request")?;
        ensure!(request.outcome == Outcome::Cancelled, "it has {:?}", request.outcome);
        let late = request.ended.context("it has ended")?.saturating_duration_since(left);
        ensure!(late < Duration::from_millis(100), "cancelled {late:?} after it was left");
        Ok(())
    }

    /// What was seen: the client's last answer, or `client` in its place.
    pub fn seen(&self, client: &str) -> Seen {
        let books = self.books.lock();
        let client = if client.is_empty() { books.last.clone() } else { client.to_owned() };
        let attempts = self.upstreams.iter().map(|it| (it.name().to_owned(), it.stats().requests)).collect();
        Seen { client, calls: books.calls, attempts, added: books.longest }
    }
}

impl Index<usize> for Stage {
    type Output = Mock;

    fn index(&self, at: usize) -> &Mock {
        &self.upstreams[at]
    }
}

/// Fakes with these names.
pub async fn fakes(names: &[&str]) -> Result<Vec<Mock>> {
    let mut fakes = Vec::new();
    for name in names {
        fakes.push(Mock::start(Options::named(*name)).await?);
    }
    Ok(fakes)
}
