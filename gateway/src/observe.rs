//! What the report says of the running data path: streams, backends, routes, accounts.

use crate::pipeline::{Context, quota};
use crate::report::Revision;
use crate::snapshot::{Route, RouteBackend};
use crate::upstream::account::AccountId;
use crate::upstream::breaker;
use deepseek_config::report::{AccountReport, BackendReport, RouteReport};
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::BackendState;
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// How often the changes of breakers and accounts are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What the data path looks like at one moment.
#[derive(Debug, Default)]
pub struct Observed {
    /// Streams in flight.
    pub streams: u64,
    /// Every backend of every route.
    pub backends: Vec<BackendReport>,
    /// Every route that has seen traffic.
    pub routes: Vec<RouteReport>,
    /// Every account of which there is something to tell.
    pub accounts: Vec<AccountReport>,
}

/// Looks at what `context` serves by.
pub fn observe(context: &Context) -> Observed {
    let snapshot = context.snapshot.load();
    let routes = snapshot.routes.values();
    Observed {
        streams: u64::try_from(context.shared.metrics.streams.get()).unwrap_or_default(),
        backends: routes.clone().flat_map(backends).collect(),
        routes: routes.filter_map(traffic).collect(),
        accounts: context.shared.accounts.all().iter().filter_map(|account| account.report()).collect(),
    }
}

/// Moves `revision` whenever the health of a backend or what is known of an account has changed. Ends with the process.
pub async fn follow_health(context: Arc<Context>, revision: Revision) {
    let changes = || (breaker::CHANGES.load(Ordering::Relaxed), context.shared.accounts.changes());
    let mut seen = changes();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = changes();
        if now != seen {
            seen = now;
            revision.bump();
        }
    }
}

fn backends(route: &Arc<Route>) -> impl Iterator<Item = BackendReport> {
    route.backends.iter().map(|backend| {
        let (state, reason, since) = health(backend);
        let unwell = state != BackendState::Healthy;
        let account = match backend.account.id() {
            AccountId::Resource(id) => Some(id.clone()),
            AccountId::Inline(..) => None,
        };
        BackendReport {
            route: route.id.clone(),
            name: backend.name.to_string(),
            account,
            state,
            reason: reason.filter(|_| unwell).map(str::to_owned),
            since: Timestamp::try_from(since).ok().filter(|_| unwell).map(|since| since.to_string()),
        }
    })
}

/// State, why, since when. An account without balance is called by nobody, whatever its breaker says.
fn health(backend: &RouteBackend) -> (BackendState, Option<&'static str>, SystemTime) {
    if let Some(since) = backend.account.parked_since() {
        return (BackendState::Parked, Some(Reason::OutOfBalance.as_str()), since);
    }
    let health = backend.breaker.health();
    (health.state, health.reason, health.since)
}

fn traffic(route: &Arc<Route>) -> Option<RouteReport> {
    let requests = route.state.requests.load(Ordering::Relaxed);
    let now = quota::now_ms();
    let fullest = route.quotas.iter().map(|quota| quota.used_percent(now)).max();
    (requests > 0).then(|| RouteReport { route: route.id.clone(), requests, quota_used_percent: fullest })
}
