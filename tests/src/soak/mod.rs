//! A gateway under mixed faults for a time: does each call get one right answer or one clear error, and does the gateway
//! give everything back?
//!
//! `run` starts a gateway over three fakes, lets [`weather`] change their faults and [`client`]s call, each in its own
//! pace, [judges](verdict) each call by what its client received, takes [`vitals`], and at the end waits for everything
//! to be given back. What is drawn is drawn from the seed; when things happen is up to the machine.

mod client;
mod plan;
mod report;
mod tally;
mod verdict;
mod vitals;
mod weather;
mod world;

pub use report::Report;

use anyhow::Result;
use client::Client;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use vitals::Vitals;
use world::World;

/// How often it is said how things go.
const PROGRESS: Duration = Duration::from_secs(10);
/// How often vitals are taken.
const SAMPLE: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// How long calls are made.
    pub time: Duration,
    /// What chance is drawn from.
    pub seed: u64,
    /// Clients that call at the same time.
    pub clients: u32,
    /// Whether to say on standard error how things go.
    pub progress: bool,
}

impl Soak {
    /// Runs it.
    pub async fn run(self) -> Result<Report> {
        // Another user in this process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = World::start().await?;
        let tally = Arc::new(Tally::default());
        let mut vitals = Vitals::start(&world.gateway).await?;
        let end = Instant::now() + self.time;
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let client = Client::new(&world.gateway, self.seed, number, Arc::clone(&tally))?;
            clients.spawn(client.call_until(end));
        }
        tokio::select! {
            result = weather::change(&world.upstreams, self.seed) => result?,
            result = self.watch(&world, &mut vitals, &tally) => result?,
            () = sleep_until(end) => {}
        }
        weather::clear(&world.upstreams).await?;
        while let Some(ended) = clients.join_next().await {
            ended?;
        }
        vitals.sample(&world.gateway).await?;
        let left = world.wait_for_rest(vitals.first().files).await?;
        let work = vitals::Work::read(&world.gateway).await?;
        Ok(Report { soak: self, tally, vitals, work, left, leaks: world.leaks() })
    }

    /// Takes vitals and tells of them, for ever.
    async fn watch(self, world: &World, vitals: &mut Vitals, tally: &Tally) -> Result<()> {
        // A short run has samples to compare as well.
        let mut samples = interval(SAMPLE.min(self.time / 12).max(Duration::from_millis(100)));
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let start = Instant::now();
        let mut told = start;
        loop {
            samples.tick().await;
            let sample = vitals.sample(&world.gateway).await?;
            if self.progress && told.elapsed() + SAMPLE / 2 >= PROGRESS {
                told = Instant::now();
                eprintln!("soak [{:5} s] {tally}; {sample}", start.elapsed().as_secs());
            }
        }
    }
}
