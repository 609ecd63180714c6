//! One client: call after call, with a pause before each.

use super::plan::Plan;
use super::tally::Tally;
use super::verdict::{Heard, Verdict, judge};
use super::world::KEY;
use crate::gateway::Gateway;
use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The longest pause before a call: about three calls a second for each client, which leaves the machine to others.
const PAUSE: Duration = Duration::from_millis(500);
/// A call that takes this long hangs: its route gives up after 12 s, and a slow reader delays the end by less than the rest.
const HANGS: Duration = Duration::from_secs(40);
/// A slow reader is in a hurry after this.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client.
pub struct Client {
    http: reqwest::Client,
    url: String,
    number: u32,
    chance: StdRng,
    tally: Arc<Tally>,
}

impl Client {
    pub fn new(gateway: &Gateway, seed: u64, number: u32, tally: Arc<Tally>) -> Result<Self> {
        let mut builder = reqwest::Client::builder().no_proxy();
        if number % 3 == 2 {
            builder = builder.http2_prior_knowledge();
        }
        let chance = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(u64::from(number) + 1));
        let url = gateway.url("/v1/chat/completions");
        Ok(Self { http: builder.build()?, url, number, chance, tally })
    }

    /// Calls until the time has come.
    pub async fn call_until(mut self, end: Instant) {
        for count in 0.. {
            sleep(PAUSE.mul_f64(self.chance.random())).await;
            if Instant::now() >= end {
                return;
            }
            let plan = Plan::draw(format!("{}-{count}", self.number), &mut self.chance);
            let (heard, verdict) = self.call(&plan).await;
            self.tally.count(&plan, &heard, verdict);
        }
    }

    async fn call(&self, plan: &Plan) -> (Heard, Verdict) {
        let mut heard = Heard::default();
        let leaving = plan.leaves_after.unwrap_or(HANGS);
        let done = timeout(leaving, self.exchange(plan, &mut heard)).await;
        let verdict = match done {
            Ok(()) => judge(plan, &heard),
            Err(_) if plan.leaves_after.is_some() => {
                heard.left = true;
                judge(plan, &heard)
            }
            Err(_) => Verdict::Violation(format!("no end within {HANGS:?}")),
        };
        (heard, verdict)
    }

    async fn exchange(&self, plan: &Plan, heard: &mut Heard) {
        let request = self.http.post(&self.url).bearer_auth(KEY).json(&plan.body());
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                heard.broken = Some(format!("no answer: {error:?}"));
                return;
            }
        };
        heard.status = response.status().as_u16();
        let start = Instant::now();
        for pieces in 1.. {
            match response.chunk().await {
                Ok(Some(piece)) => heard.bytes.extend_from_slice(&piece),
                Ok(None) => return,
                Err(error) => {
                    heard.broken = Some(format!("broken off: {error:?}"));
                    return;
                }
            }
            if plan.leaves_at.is_some_and(|most| pieces >= most) {
                heard.left = true;
                return;
            }
            if !plan.reads_every.is_zero() && start.elapsed() < PATIENCE {
                sleep(plan.reads_every).await;
            }
        }
    }
}
