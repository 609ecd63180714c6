//! A steady load of whole answers and streams, by connections that are kept and by fresh ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::client::{Client, fresh, http};

/// How often each worker asks for a whole answer.
const PACE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(15);

/// A load under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: JoinSet<anyhow::Result<Report>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Complete whole answers.
    pub answers: usize,
    /// Complete streams.
    pub streams: usize,
    /// Everything else, with the time since the start.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `workers` of each sort: whole answers and streams, each by kept and by fresh connections.
    pub fn start(client: &Client, workers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut load = Self { stop, workers: JoinSet::new() };
        for _ in 0..workers {
            for (stream, keep) in [(false, false), (false, true), (true, false), (true, true)] {
                load.workers.spawn(work(client.clone(), Arc::clone(&load.stop), stream, keep));
            }
        }
        load
    }

    /// Lets every request under way end, and tells what came of all.
    pub async fn finish(self) -> anyhow::Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Report::default();
        for report in self.workers.join_all().await {
            let Report { answers, streams, failures } = report?;
            total.answers += answers;
            total.streams += streams;
            total.failures.extend(failures);
        }
        Ok(total)
    }
}

impl Report {
    /// An error that says what was lost, or how much was answered.
    pub fn nothing_lost(self) -> anyhow::Result<String> {
        let Self { answers, streams, failures } = self;
        let told = format!("{answers} whole answers and {streams} streams were complete");
        anyhow::ensure!(failures.is_empty(), "{} failures; {told}:\n{}", failures.len(), failures.join("\n"));
        anyhow::ensure!(answers > 0 && streams > 0, "no load: {told}");
        Ok(told)
    }
}

async fn work(client: Client, stop: Arc<AtomicBool>, stream: bool, keep: bool) -> anyhow::Result<Report> {
    let start = Instant::now();
    let http = if keep { http()? } else { fresh(PATIENCE)? };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut report = Report::default();
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let asked = start.elapsed().as_secs_f32();
        let done = if stream { client.stream_by(&http).await } else { client.ask_by(&http).await };
        match done {
            Ok(_) if stream => report.streams += 1,
            Ok(_) => report.answers += 1,
            Err(error) => {
                let now = start.elapsed().as_secs_f32();
                report.failures.push(format!("asked at {asked:.2} s, failed at {now:.2} s (stream: {stream}, kept connection: {keep}): {error:#}"));
            }
        }
    }
    Ok(report)
}
