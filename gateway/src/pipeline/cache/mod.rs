//! Answers given again: to the very same call later (`cache`), to identical calls in flight (`cache.merge`), and when every
//! backend is out (`failover.fallback.cached`).
//!
//! A call with a part in this runs in a task of its own that fills a [recording](recording); its caller is the first who
//! reads that, and is not missed as long as others do. What ended well is kept in the [store](store). `docs/caching.md`
//! says what a caller sees of it.

mod budget;
mod follow;
mod key;
mod metrics;
mod recording;
mod share;
mod store;

pub use follow::{Follower, Lost};
pub use key::Key;
pub use metrics::CacheMetrics;
pub use share::answer;
pub use store::Kept;

use self::budget::Budget;
use self::key::InFlightKey;
use self::recording::Recording;
use self::store::Store;
use crate::pipeline::check::Call;
use crate::pipeline::endpoint::Endpoint;
use crate::snapshot::{Consumer, Route};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Says what became of a call where its route keeps answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-deepseek-gateway-cache");

/// What the pod keeps.
#[derive(Default)]
pub struct Cache {
    store: Store,
    budget: Arc<Budget>,
    in_flight: Mutex<HashMap<InFlightKey, Arc<Recording>>>,
}

/// The part of the pod's bytes that one answer may take: an eighth.
const EACH: u64 = 8;
/// The part of them that answers on their way may take: a quarter.
const ON_THEIR_WAY: u64 = 4;

/// What became of a call where its route keeps answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// A kept answer.
    Hit,
    /// A backend is asked.
    Miss,
    /// An identical call was in flight.
    Merged,
}

impl Found {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Merged];

    /// As it stands in the header and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Merged => "merged",
        }
    }

    /// As the header's value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

/// The part that a call has in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// What stands for it.
    pub key: Key,
    /// How long its answer is given again; `None`: only when every backend is out.
    ttl: Option<Duration>,
    /// Whether it takes what others got, or an answer of its own.
    shares: bool,
    /// Whether it may be merged with identical ones.
    merges: bool,
    /// Whether its answer is kept beyond its time.
    lasts: bool,
}

impl Part {
    /// The part of a call; `None` where its route keeps nothing, it does not want it (`Cache-Control: no-store`), or an
    /// answer is more than its text: responses can be stored by the provider and referred to.
    #[must_use]
    pub fn of(route: &Route, consumer: &Consumer, call: &Call, headers: &HeaderMap) -> Option<Self> {
        let cache = route.policy.cache.as_ref();
        let lasts = route.policy.failover.fallback.as_ref().is_some_and(|fallback| fallback.cached);
        if cache.is_none() && !lasts || matches!(call.endpoint, Endpoint::Responses | Endpoint::Models) {
            return None;
        }
        if wants(headers, &["no-store"]) {
            return None;
        }
        Some(Self {
            key: Key::of(route, consumer, call, headers),
            ttl: cache.map(|cache| Duration::from_millis(cache.ttl_ms)),
            shares: !wants(headers, &["no-cache", "max-age=0"]),
            merges: cache.is_some_and(|cache| cache.merge),
            lasts,
        })
    }

    /// Whether the route gives answers again while its backends are well.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.ttl.is_some()
    }
}

/// Whether `Cache-Control` has one of `directives`.
fn wants(headers: &HeaderMap, directives: &[&str]) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut said = values.flat_map(|value| value.split(',')).map(str::trim);
    said.any(|said| directives.iter().any(|directive| said.eq_ignore_ascii_case(directive)))
}

impl Cache {
    /// Sets how many bytes are held: of kept answers and of those on their way to be kept.
    pub fn resize(&self, bytes: u64) {
        let on_their_way = bytes / ON_THEIR_WAY;
        self.store.resize(bytes - on_their_way, bytes / EACH);
        self.budget.resize(on_their_way, bytes / EACH);
    }

    /// Entries, and their bytes with those on their way.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        let (entries, bytes) = self.store.size();
        (entries, bytes + self.budget.used())
    }

    /// The last good answer to a call, whatever its age.
    #[must_use]
    pub fn last(&self, key: &Key) -> Option<Arc<Kept>> {
        self.store.get(key)
    }

    /// A kept answer that is young enough.
    fn fresh(&self, part: &Part) -> Option<Arc<Kept>> {
        let ttl = part.ttl.filter(|_| part.shares)?;
        self.store.get(&part.key).filter(|kept| kept.since.elapsed() < ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_is_read_directive_by_directive() {
        let mut headers = HeaderMap::new();
        assert!(!wants(&headers, &["no-store"]));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60, No-Store"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        assert!(wants(&headers, &["no-store"]));
        assert!(!wants(&headers, &["no-cache"]));
    }
}
