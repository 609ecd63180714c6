//! Leader election by a Lease: of all replicas one writes.
//!
//! Every replica watches and is ready; only the holder of the Lease runs workers. Each write asks [`Leadership::check`]
//! first, which refuses as soon as the Lease could have run out unrenewed, on the clock of this process. When the Lease
//! is lost the process ends: a fresh start is simpler to trust than a leader turned standby.

pub mod evaluate;

use evaluate::{DURATION, Decision, Observed, RENEW, RETRY, evaluate};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Api, Client, api::PostParams};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// Name of the Lease.
pub const LEASE: &str = "deepseek-operator";
/// How long before the Lease runs out writing stops: no write that is under way may outlive it.
const MARGIN: Duration = Duration::from_secs(4);
/// How long one request to the API server may take; short, so that a hanging one leaves time for the next.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether this replica may write.
#[derive(Debug, Default)]
pub struct Leadership {
    /// Until when; `None` before the Lease is ours.
    until: Mutex<Option<Instant>>,
    always: bool,
    acquired: Notify,
}

/// This replica does not hold the Lease.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not hold the Lease, so it must not write")]
pub struct NotLeader;

impl Leadership {
    /// Leadership without an election.
    pub fn always() -> Self {
        Self { always: true, ..Self::default() }
    }

    /// Refuses unless this replica may write now.
    pub fn check(&self) -> Result<(), NotLeader> {
        let held = self.until.lock().is_some_and(|until| Instant::now() < until);
        if self.always || held { Ok(()) } else { Err(NotLeader) }
    }

    /// Waits until this replica may write.
    pub async fn acquired(&self) {
        loop {
            let notified = self.acquired.notified();
            if self.check().is_ok() {
                return;
            }
            notified.await;
        }
    }

    fn hold(&self, from: Instant) {
        *self.until.lock() = Some(from + DURATION - MARGIN);
        self.acquired.notify_waiters();
        self.acquired.notify_one();
    }

    fn release(&self) {
        *self.until.lock() = None;
    }
}

/// Why the election ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// We were told to stop; the Lease is free again if it was ours.
    Stopped,
    /// Another took it, or it could not be renewed in time.
    Lost,
}

/// Takes part in the election.
pub struct Elector {
    leases: Api<Lease>,
    me: String,
    leadership: Arc<Leadership>,
}

impl Elector {
    /// Takes part as `me`, in `namespace`.
    pub fn new(client: Client, namespace: &str, me: String, leadership: Arc<Leadership>) -> Self {
        Self { leases: Api::namespaced(client, namespace), me, leadership }
    }

    /// Runs until `stop` or until the Lease, once held, is lost.
    pub async fn run(&self, stop: CancellationToken) -> End {
        let mut observed = Observed::default();
        let mut leading = false;
        loop {
            let turn = tokio::time::timeout(REQUEST_TIMEOUT, self.turn(&mut observed)).await;
            let pause = match turn {
                Ok(Ok(true)) => {
                    if !leading {
                        info!(identity = self.me, "this replica leads now");
                        leading = true;
                    }
                    RENEW
                }
                Ok(Ok(false)) if leading => return self.lost("another replica holds the Lease"),
                Ok(Ok(false)) => RETRY,
                failed => {
                    let error = failed.map_or_else(
                        |late| late.to_string(),
                        |answer| match answer {
                            Ok(_) => String::new(),
                            Err(error) => error.to_string(),
                        },
                    );
                    warn!(error, "failed to read or renew the Lease");
                    if leading && self.leadership.check().is_err() {
                        return self.lost("the Lease could not be renewed in time");
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return End::Stopped,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn lost(&self, why: &str) -> End {
        self.leadership.release();
        error!(why, "this replica leads no more");
        End::Lost
    }

    /// Looks at the Lease and takes or renews it where that is due. Returns whether it is ours.
    async fn turn(&self, observed: &mut Observed) -> kube::Result<bool> {
        let asked = Instant::now();
        let Some(mut lease) = self.leases.get_opt(LEASE).await? else {
            let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(None)) };
            self.leases.create(&PostParams::default(), &lease).await?;
            self.leadership.hold(asked);
            return Ok(true);
        };
        observed.note(lease.metadata.resource_version.as_deref().unwrap_or_default(), asked);
        let decision = evaluate(lease.spec.as_ref(), observed, &self.me, asked);
        debug!(?decision, "looked at the Lease");
        if decision == Decision::Wait {
            return Ok(false);
        }
        // The resourceVersion that was read goes along: of two that take it at once one is refused.
        lease.spec = Some(self.spec(lease.spec.as_ref()));
        lease.metadata.managed_fields = None;
        self.leases.replace(LEASE, &PostParams::default(), &lease).await?;
        self.leadership.hold(asked);
        Ok(true)
    }

    fn spec(&self, old: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        let ours = old.filter(|old| old.holder_identity.as_ref() == Some(&self.me));
        let transitions = old.and_then(|old| old.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: ours.and_then(|old| old.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if ours.is_some() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }

    /// Gives the Lease back, so that a standby need not wait for it to run out. Call it when nothing writes any more.
    pub async fn resign(&self) {
        self.leadership.release();
        let release = async {
            let mut lease = self.leases.get(LEASE).await?;
            let Some(spec) = lease.spec.as_mut().filter(|s| s.holder_identity.as_ref() == Some(&self.me))
            else {
                return Ok(());
            };
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            self.leases.replace(LEASE, &PostParams::default(), &lease).await.map(drop)
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, release).await {
            Ok(Ok(())) => info!("gave the Lease back"),
            Ok(Err(error)) => warn!(%error, "failed to give the Lease back; it runs out by itself"),
            Err(_) => warn!("the API server did not answer about the Lease in time; it runs out by itself"),
        }
    }
}
