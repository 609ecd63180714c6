//! Gateway pods and what they say they loaded.

use super::Name;
use super::accounts::{self, Account};
use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::report::{BackendReport, LoadedObject, Report, RouteReport};
use deepseek_crds::labels;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// A gateway pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its uid.
    pub uid: String,
    /// The gateway it belongs to.
    pub gateway: ObjectId,
    /// Where its admin port is; `None` before it runs and once it leaves.
    pub address: Option<IpAddr>,
    /// Whether it takes requests.
    pub ready: bool,
    /// When it was made.
    pub created: Option<Time>,
}

impl Pod {
    /// Reads a Pod; `None` when it is not a gateway's.
    pub fn read(pod: &core::Pod) -> Option<(Name, Self)> {
        let meta = &pod.metadata;
        let namespace = meta.namespace.clone()?;
        let gateway = meta.labels.as_ref()?.get(labels::GATEWAY)?;
        let status = pod.status.as_ref();
        let over = status.and_then(|s| s.phase.as_deref()).is_some_and(|p| p == "Succeeded" || p == "Failed");
        let leaving = meta.deletion_timestamp.is_some() || over;
        let ready = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten();
        let ready = ready.filter(|c| c.type_ == "Ready").any(|c| c.status == "True");
        let address = status.and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok());
        let known = Self {
            uid: meta.uid.clone()?,
            gateway: ObjectId::new(Kind::Gateway, namespace.clone(), gateway),
            address: address.filter(|_| !leaving),
            ready: ready && !leaving,
            created: meta.creation_timestamp.clone(),
        };
        Some(((namespace, meta.name.clone()?), known))
    }
}

/// A pod's last report, indexed.
#[derive(Debug, Default)]
struct Said {
    objects: HashMap<ObjectId, LoadedObject>,
    backends: HashMap<ObjectId, Vec<BackendReport>>,
    routes: Vec<RouteReport>,
    accounts: HashMap<ObjectId, accounts::Said>,
}

/// Every gateway pod.
#[derive(Debug, Default)]
pub struct Pods {
    pods: BTreeMap<Name, Pod>,
    said: HashMap<Name, Said>,
}

/// What the ready pods of a gateway say of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Ready pods.
    pub ready: u32,
    /// Of these, how many use the document asked about.
    pub current: u32,
    /// One that refused it, and why.
    pub refused: Option<(String, String)>,
}

impl Pods {
    /// Notes a pod. Returns its gateway when that changes who is ready or where.
    pub fn put(&mut self, name: &Name, pod: Pod) -> Option<ObjectId> {
        let old = self.pods.get(name);
        if old == Some(&pod) {
            return None;
        }
        if old.is_none_or(|old| old.uid != pod.uid) {
            self.said.remove(name);
        }
        let gateway = pod.gateway.clone();
        self.pods.insert(name.clone(), pod);
        Some(gateway)
    }

    /// Notes that a pod is gone. Returns its gateway.
    pub fn remove(&mut self, name: &Name) -> Option<ObjectId> {
        self.said.remove(name);
        self.pods.remove(name).map(|pod| pod.gateway)
    }

    /// Notes what pod `name` with `uid` reports. Returns the resources of which it now says something else.
    pub fn report(&mut self, name: &Name, uid: &str, report: Report) -> BTreeSet<ObjectId> {
        if self.pods.get(name).is_none_or(|pod| pod.uid != uid) {
            return BTreeSet::new();
        }
        let accounts = accounts::by_account(&report.backends, report.accounts);
        let mut new = Said { routes: report.routes, accounts, ..Said::default() };
        new.objects.extend(report.objects.into_iter().map(|object| (object.id.clone(), object)));
        for backend in report.backends {
            new.backends.entry(backend.route.clone()).or_default().push(backend);
        }
        let old = self.said.remove(name).unwrap_or_default();
        let mut changed = differing(&old.objects, &new.objects);
        changed.extend(differing(&old.backends, &new.backends));
        changed.extend(differing(&old.accounts, &new.accounts));
        self.said.insert(name.clone(), new);
        changed
    }

    /// Every gateway that has pods.
    pub fn gateways(&self) -> BTreeSet<ObjectId> {
        self.pods.values().map(|pod| pod.gateway.clone()).collect()
    }

    /// Names of all pods.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.pods.keys()
    }

    /// Every pod that can be asked for a report: its name, uid and address.
    pub fn reachable(&self) -> impl Iterator<Item = (&Name, &str, IpAddr)> {
        self.pods.iter().filter_map(|(name, pod)| Some((name, pod.uid.as_str(), pod.address?)))
    }

    /// How many pods of `gateway` are ready.
    pub fn ready(&self, gateway: &ObjectId) -> u32 {
        u32::try_from(self.of(gateway).count()).unwrap_or(u32::MAX)
    }

    /// What the ready pods of `gateway` say of the document of `id`; `matches` tells whether it is the one asked about.
    pub fn loaded(
        &self,
        gateway: &ObjectId,
        id: &ObjectId,
        matches: impl Fn(&LoadedObject) -> bool,
    ) -> Loaded {
        let mut loaded = Loaded::default();
        for (name, _) in self.of(gateway) {
            loaded.ready += 1;
            let Some(object) = self.said.get(name).and_then(|said| said.objects.get(id)) else { continue };
            if matches(object) {
                loaded.current += 1;
            } else if let Some(why) = &object.refused {
                loaded.refused.get_or_insert_with(|| (name.1.clone(), why.clone()));
            }
        }
        loaded
    }

    /// What the ready pods of `gateway` say of the backends of `route`.
    pub fn backends(&self, gateway: &ObjectId, route: &ObjectId) -> impl Iterator<Item = &BackendReport> {
        let said = self.of(gateway).filter_map(|(name, _)| self.said.get(name));
        said.filter_map(|said| said.backends.get(route)).flatten()
    }

    /// What the ready pods of `gateways` say of the account `id`.
    pub fn account<'a>(&self, gateways: impl IntoIterator<Item = &'a ObjectId>, id: &ObjectId) -> Account {
        let mut account = Account::default();
        for gateway in gateways {
            let said = self.of(gateway).filter_map(|(name, _)| self.said.get(name)?.accounts.get(id));
            said.for_each(|said| account.add(said));
        }
        account
    }

    /// The pod of `gateway` that asks for balances: the one that has been there for longest among those that are ready.
    /// It goes by what is there alone, so that a new operator elects the same one; and a pod that joins changes nothing.
    pub fn poller(&self, gateway: &ObjectId) -> Option<&str> {
        let created = |pod: &Pod| pod.created.as_ref().map(|created| created.0);
        let oldest = self.of(gateway).min_by_key(|(name, pod)| (created(pod), *name));
        oldest.map(|((_, name), _)| name.as_str())
    }

    /// What each pod counted for each route.
    pub fn counters(&self) -> impl Iterator<Item = (&Name, &RouteReport)> {
        self.said.iter().flat_map(|(name, said)| said.routes.iter().map(move |route| (name, route)))
    }

    fn of(&self, gateway: &ObjectId) -> impl Iterator<Item = (&Name, &Pod)> {
        // A gateway's pods are in its namespace: a range, not a scan.
        let from = (gateway.namespace.clone(), String::new());
        let in_namespace = self.pods.range(from..).take_while(|((ns, _), _)| *ns == gateway.namespace);
        in_namespace.filter(|(_, pod)| pod.ready && pod.gateway == *gateway)
    }
}

fn differing<T: PartialEq>(old: &HashMap<ObjectId, T>, new: &HashMap<ObjectId, T>) -> BTreeSet<ObjectId> {
    let changed = new.iter().filter(|(id, value)| old.get(id) != Some(value)).map(|(id, _)| id);
    changed.chain(old.keys().filter(|id| !new.contains_key(id))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        ("ns".to_owned(), "gw-1".to_owned())
    }

    fn gateway() -> ObjectId {
        ObjectId::new(Kind::Gateway, "ns", "gw")
    }

    fn pod(ready: bool) -> Pod {
        Pod { uid: "u1".to_owned(), gateway: gateway(), address: None, ready, created: None }
    }

    fn object(id: &ObjectId, sha256: &str, refused: Option<&str>) -> LoadedObject {
        LoadedObject {
            id: id.clone(),
            sha256: Some(sha256.to_owned()),
            generation: Some(1),
            refused: refused.map(str::to_owned),
        }
    }

    #[test]
    fn only_what_changed_in_a_report_is_told() {
        let (a, b) = (ObjectId::new(Kind::Route, "ns", "a"), ObjectId::new(Kind::Route, "ns", "b"));
        let mut pods = Pods::default();
        pods.put(&name(), pod(true));
        let report = |objects| Report { objects, ..Report::default() };
        let first = report(vec![object(&a, "1", None), object(&b, "1", None)]);
        assert_eq!(pods.report(&name(), "u1", first).len(), 2);
        let second = report(vec![object(&a, "1", None), object(&b, "2", None)]);
        assert_eq!(pods.report(&name(), "u1", second), BTreeSet::from([b.clone()]));
        assert_eq!(pods.report(&name(), "u1", report(vec![object(&b, "2", None)])), BTreeSet::from([a]));
        assert_eq!(pods.report(&name(), "another uid", report(vec![])), BTreeSet::new());
    }

    #[test]
    fn the_oldest_ready_pod_asks_for_balances_and_the_next_one_when_it_goes() {
        let mut pods = Pods::default();
        let put = |pods: &mut Pods, name: &str, second: i64, ready: bool| {
            let created = jiff::Timestamp::from_second(second).ok().map(Time);
            pods.put(&("ns".to_owned(), name.to_owned()), Pod { created, ..pod(ready) });
        };
        assert_eq!(pods.poller(&gateway()), None);
        put(&mut pods, "gw-b", 10, true);
        put(&mut pods, "gw-c", 10, true);
        assert_eq!(pods.poller(&gateway()), Some("gw-b"));
        put(&mut pods, "gw-a", 20, true);
        assert_eq!(pods.poller(&gateway()), Some("gw-b"), "a pod that joins changes nothing");
        put(&mut pods, "gw-b", 10, false);
        assert_eq!(pods.poller(&gateway()), Some("gw-c"));
        pods.remove(&("ns".to_owned(), "gw-c".to_owned()));
        assert_eq!(pods.poller(&gateway()), Some("gw-a"));
    }

    #[test]
    fn only_ready_pods_count_and_a_refusal_is_told_with_the_pod() {
        let a = ObjectId::new(Kind::Route, "ns", "a");
        let mut pods = Pods::default();
        assert_eq!(pods.put(&name(), pod(true)), Some(gateway()));
        assert_eq!(pods.put(&name(), pod(true)), None);
        pods.put(&("ns".to_owned(), "gw-2".to_owned()), Pod { uid: "u2".to_owned(), ..pod(false) });
        pods.report(
            &name(),
            "u1",
            Report { objects: vec![object(&a, "1", Some("bad"))], ..Report::default() },
        );
        let loaded = pods.loaded(&gateway(), &a, |object| object.sha256.as_deref() == Some("2"));
        let refused = Some(("gw-1".to_owned(), "bad".to_owned()));
        assert_eq!(loaded, Loaded { ready: 1, current: 0, refused });
    }
}
