//! Requests per second and quota use of each route, over the last minute, from counters that pods report.
//!
//! Shown figures move only when they differ visibly, so that a steady load costs no writes.

use super::Name;
use deepseek_config::document::ObjectId;
use deepseek_config::report::RouteReport;
use deepseek_crds::v1alpha1::RouteTraffic;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// How often the figures are taken, in seconds.
pub const TICK_SECONDS: u32 = 15;
/// Ticks a minute.
const TICKS: usize = 4;

/// What routes carry.
#[derive(Debug, Default)]
pub struct Traffic {
    counters: HashMap<(Name, ObjectId), u64>,
    windows: HashMap<ObjectId, VecDeque<u64>>,
    shown: HashMap<ObjectId, RouteTraffic>,
    figures: HashMap<ObjectId, f64>,
}

impl Traffic {
    /// Takes the figures of one tick. Returns the routes whose shown figures moved.
    pub fn tick<'a>(
        &mut self,
        counters: impl Iterator<Item = (&'a Name, &'a RouteReport)>,
    ) -> BTreeSet<ObjectId> {
        let mut requests: HashMap<ObjectId, u64> = HashMap::new();
        let mut quotas: HashMap<ObjectId, u32> = HashMap::new();
        let mut seen = HashMap::new();
        for (pod, report) in counters {
            let key = (pod.clone(), report.route.clone());
            // The first sight of a counter is where counting starts; one that fell belongs to a restarted container.
            let before = self.counters.get(&key).copied().unwrap_or(report.requests);
            let more = report.requests.checked_sub(before).unwrap_or(report.requests);
            *requests.entry(report.route.clone()).or_default() += more;
            if let Some(percent) = report.quota_used_percent {
                let fullest = quotas.entry(report.route.clone()).or_default();
                *fullest = percent.max(*fullest);
            }
            seen.insert(key, report.requests);
        }
        self.counters = seen;
        self.windows.retain(|route, _| requests.contains_key(route));
        let mut moved: BTreeSet<ObjectId> =
            self.shown.keys().filter(|route| !requests.contains_key(*route)).cloned().collect();
        self.shown.retain(|route, _| requests.contains_key(route));
        for (route, count) in requests {
            let window = self.windows.entry(route.clone()).or_default();
            window.push_back(count);
            if window.len() > TICKS {
                window.pop_front();
            }
            let rate = rate(window);
            let quota_used = quotas.get(&route).map(|percent| format!("{percent}%"));
            let shown = self.shown.get(&route);
            let figure = self.figures.get(&route).copied().unwrap_or(-1.0);
            if shown.is_none_or(|shown| shown.quota_used != quota_used) || visibly(figure, rate) {
                let traffic = RouteTraffic { requests_per_second: format!("{rate:.1}"), quota_used };
                if shown != Some(&traffic) {
                    moved.insert(route.clone());
                }
                self.figures.insert(route.clone(), rate);
                self.shown.insert(route, traffic);
            }
        }
        self.figures.retain(|route, _| self.shown.contains_key(route));
        moved
    }

    /// What is shown of `route`.
    pub fn of(&self, route: &ObjectId) -> Option<&RouteTraffic> {
        self.shown.get(route)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate with one decimal needs no more")]
fn rate(window: &VecDeque<u64>) -> f64 {
    let seconds = f64::from(TICK_SECONDS) * window.len() as f64;
    window.iter().sum::<u64>() as f64 / seconds
}

/// Whether a reader would notice: a tenth of the figure, or to or from nothing.
fn visibly(old: f64, new: f64) -> bool {
    (new - old).abs() > old.abs() * 0.1 + 0.05 || (new < 0.05) != (old < 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deepseek_config::document::Kind;

    fn route() -> ObjectId {
        ObjectId::new(Kind::Route, "ns", "chat")
    }

    fn tick(traffic: &mut Traffic, counts: &[(&str, u64)], percent: Option<u32>) -> bool {
        let pods: Vec<(Name, RouteReport)> = counts
            .iter()
            .map(|(pod, requests)| {
                let name = ("ns".to_owned(), (*pod).to_owned());
                (name, RouteReport { route: route(), requests: *requests, quota_used_percent: percent })
            })
            .collect();
        !traffic.tick(pods.iter().map(|(name, report)| (name, report))).is_empty()
    }

    fn shown(traffic: &Traffic) -> &str {
        traffic.of(&route()).map_or("", |t| t.requests_per_second.as_str())
    }

    #[test]
    fn rates_add_up_over_pods_and_survive_a_restart() {
        let mut traffic = Traffic::default();
        assert!(tick(&mut traffic, &[("a", 1000), ("b", 0)], None));
        assert_eq!(shown(&traffic), "0.0", "what was counted before is not counted again");
        assert!(tick(&mut traffic, &[("a", 1300), ("b", 300)], None));
        assert_eq!(shown(&traffic), "20.0");
        assert!(tick(&mut traffic, &[("a", 1300), ("b", 150)], None), "b restarted and counted 150 since");
        assert_eq!(shown(&traffic), "16.7");
    }

    #[test]
    fn a_steady_load_moves_nothing_and_a_quota_does() {
        let mut traffic = Traffic::default();
        for n in 0..5 {
            tick(&mut traffic, &[("a", n * 1500)], Some(3));
        }
        assert_eq!(shown(&traffic), "100.0");
        assert!(!tick(&mut traffic, &[("a", 5 * 1500 + 20)], Some(3)));
        assert!(tick(&mut traffic, &[("a", 6 * 1500)], Some(4)));
        assert_eq!(traffic.of(&route()).and_then(|t| t.quota_used.as_deref()), Some("4%"));
        assert!(tick(&mut traffic, &[], None), "a route without reports shows nothing");
        assert_eq!(shown(&traffic), "");
    }
}
