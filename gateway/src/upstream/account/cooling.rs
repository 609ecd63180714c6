//! Cool-downs of one account and model: after a 429 nobody asks again before its time, or one tenant does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a 429 without `Retry-After` is believed.
const DEFAULT: Duration = Duration::from_secs(1);

/// Until when whom is not to ask.
#[derive(Debug, Default)]
pub struct Cooling {
    all: Option<Instant>,
    tenants: HashMap<Arc<str>, Instant>,
}

impl Cooling {
    /// Nobody asks for that long.
    pub fn close(&mut self, after: Option<Duration>, now: Instant) {
        let until = now + after.unwrap_or(DEFAULT);
        self.all = Some(self.all.map_or(until, |at| at.max(until)));
    }

    /// One tenant does not ask for that long.
    pub fn close_tenant(&mut self, tenant: &Arc<str>, after: Option<Duration>, now: Instant) {
        self.tenants.retain(|_, until| *until > now);
        let until = now + after.unwrap_or(DEFAULT);
        let held = self.tenants.entry(Arc::clone(tenant)).or_insert(until);
        *held = until.max(*held);
    }

    /// When this tenant may ask again; `None`: now.
    #[must_use]
    pub fn until(&self, tenant: &str, now: Instant) -> Option<Instant> {
        let own = if self.tenants.is_empty() { None } else { self.tenants.get(tenant).copied() };
        self.all.max(own).filter(|until| *until > now)
    }

    /// Whether anybody is to wait.
    #[must_use]
    pub fn is_closed(&self, now: Instant) -> bool {
        self.all.iter().chain(self.tenants.values()).any(|until| *until > now)
    }

    /// Everybody may ask again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_cool_down_does_not_end_a_longer_one() {
        let now = Instant::now();
        let mut cooling = Cooling::default();
        cooling.close(Some(Duration::from_secs(20)), now);
        cooling.close(None, now);
        assert_eq!(cooling.until("a", now), Some(now + Duration::from_secs(20)));
        assert_eq!(cooling.until("a", now + Duration::from_secs(20)), None);
    }

    #[test]
    fn a_tenants_cool_down_is_nobody_elses() {
        let now = Instant::now();
        let mut cooling = Cooling::default();
        cooling.close_tenant(&Arc::from("a"), Some(Duration::from_secs(5)), now);
        assert!(cooling.until("a", now).is_some());
        assert_eq!(cooling.until("b", now), None);
        cooling.close(None, now);
        assert_eq!(cooling.until("a", now), Some(now + Duration::from_secs(5)), "the later of both");
        cooling.clear();
        assert!(!cooling.is_closed(now));
    }
}
