//! Who may write, decided from a Lease: pure, with the time as an argument.
//!
//! Clocks of two machines disagree, so the times in the Lease are never compared with ours. A standby counts from the
//! moment *it* saw the Lease change last; only a Lease that nobody has touched for its whole duration is free.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use std::time::Duration;
use tokio::time::Instant;

/// How long a Lease holds without renewal.
pub const DURATION: Duration = Duration::from_secs(15);
/// How often the holder renews it.
pub const RENEW: Duration = Duration::from_secs(5);
/// How often a standby looks, and the holder tries again after a failure.
pub const RETRY: Duration = Duration::from_secs(1);

/// What we last saw of the Lease.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Version of the record: a change means that its holder is alive.
    pub version: String,
    /// When we first saw this version.
    pub since: Option<Instant>,
}

impl Observed {
    /// Notes what was read at `now`.
    pub fn note(&mut self, version: &str, now: Instant) {
        if self.since.is_none() || self.version != version {
            version.clone_into(&mut self.version);
            self.since = Some(now);
        }
    }
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is free: take it.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// Another holds it.
    Wait,
}

/// What `me` does about the Lease `spec`, last changed as `observed`, at `now`.
pub fn evaluate(spec: Option<&LeaseSpec>, observed: &Observed, me: &str, now: Instant) -> Decision {
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    if holder == me {
        return Decision::Renew;
    }
    if holder.is_empty() {
        return Decision::Acquire;
    }
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
    let duration = seconds.map_or(DURATION, Duration::from_secs);
    match observed.since {
        Some(since) if now.duration_since(since) >= duration => Decision::Acquire,
        _ => Decision::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_free_lease_is_taken_and_our_own_is_renewed() {
        let now = Instant::now();
        let observed = Observed::default();
        assert_eq!(evaluate(None, &observed, "me", now), Decision::Acquire);
        assert_eq!(evaluate(Some(&held_by("")), &observed, "me", now), Decision::Acquire);
        assert_eq!(evaluate(Some(&held_by("me")), &observed, "me", now), Decision::Renew);
    }

    #[test]
    fn anothers_lease_is_free_only_after_its_duration_without_change() {
        let start = Instant::now();
        let mut observed = Observed::default();
        observed.note("1", start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(evaluate(Some(&held_by("other")), &observed, "me", at(14)), Decision::Wait);
        observed.note("2", at(14));
        assert_eq!(evaluate(Some(&held_by("other")), &observed, "me", at(28)), Decision::Wait);
        observed.note("2", at(28));
        assert_eq!(evaluate(Some(&held_by("other")), &observed, "me", at(29)), Decision::Acquire);
    }
}
