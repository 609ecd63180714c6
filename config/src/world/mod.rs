//! The world: all resources, Secrets and grants the compiler sees, indexed so that one change recompiles only what it
//! can affect. No I/O, no clock.
//!
//! Every mutation returns the ids whose [`World::compile`] may now give something else. The caller compiles those and
//! writes what differs. See [`facts`] for the edges between resources.

mod facts;
mod grants;
mod resource;
mod secrets;

pub use resource::Resource;

pub(crate) use facts::{Claim, backend_id, takes};
pub(crate) use secrets::{Absent, SecretKey};

use crate::compile::{self, Compilation};
use crate::document::{Kind, ObjectId};
use deepseek_crds::reference_grant::ReferenceGrant;
use facts::{Choice, Facts};
use grants::Grants;
use resource::Age;
use secrets::Secrets;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

#[cfg(test)]
mod tests;

/// All resources, Secrets and grants.
#[derive(Default)]
pub struct World {
    resources: HashMap<ObjectId, Resource>,
    facts: HashMap<ObjectId, Facts>,
    secrets: Secrets,
    grants: Grants,
    /// Ready pods of each gateway, where known.
    pods: HashMap<ObjectId, u32>,
    /// The pod of each gateway that asks for balances, where there is one.
    pollers: HashMap<ObjectId, String>,
    /// Backends whose account is known to be out of balance.
    parked: BTreeSet<ObjectId>,
    /// Gateways marked as default, the oldest first.
    defaults: BTreeSet<Age>,
    /// Routes and consumers by the gateway they ask for.
    choosers: HashMap<Choice, BTreeSet<ObjectId>>,
    /// Who claims what on which gateway, the oldest first.
    claims: HashMap<(ObjectId, Claim), BTreeSet<Age>>,
    /// Who needs a claim to be held by somebody.
    wanters: HashMap<(ObjectId, Claim), BTreeSet<ObjectId>>,
    /// Routes by the backends they refer to.
    referrers: HashMap<ObjectId, BTreeSet<ObjectId>>,
    /// Gateways that need a backend, with the number of routes that say so.
    links: HashMap<ObjectId, BTreeMap<ObjectId, usize>>,
    /// Backends that are valid by themselves.
    usable: BTreeSet<ObjectId>,
}

impl World {
    /// Adds or replaces a resource. Returns every resource whose compilation may have changed, itself included; nothing
    /// when it means the same as before (a change of status only).
    pub fn apply(&mut self, resource: Resource) -> BTreeSet<ObjectId> {
        let id = resource.id();
        let same = self.resources.get(&id).is_some_and(|old| old.means_the_same(&resource));
        if same {
            self.resources.insert(id, resource);
            return BTreeSet::new();
        }
        self.replace(&id, Some(resource))
    }

    /// Removes a resource. Returns every resource whose compilation may have changed, itself included.
    pub fn remove(&mut self, id: &ObjectId) -> BTreeSet<ObjectId> {
        self.pods.remove(id);
        self.pollers.remove(id);
        self.parked.remove(id);
        if !self.resources.contains_key(id) {
            return BTreeSet::new();
        }
        self.replace(id, None)
    }

    /// Says what Secret `namespace/name` holds; `None` when it was looked for and is not there. Secrets that nobody
    /// refers to are not kept.
    pub fn set_secret(
        &mut self,
        namespace: &str,
        name: &str,
        data: Option<BTreeMap<String, Vec<u8>>>,
    ) -> BTreeSet<ObjectId> {
        let users = self.secrets.set(&(namespace.to_owned(), name.to_owned()), data);
        let mut touched = users.clone();
        for user in &users {
            self.reindex(user, &mut touched);
        }
        touched
    }

    /// Whether a resource refers to Secret `namespace/name`.
    pub fn wants_secret(&self, namespace: &str, name: &str) -> bool {
        self.secrets.wants(&(namespace.to_owned(), name.to_owned()))
    }

    /// Namespace and name of every Secret that is referred to and was never set. Until it is, its keys count as missing.
    pub fn unread_secrets(&self) -> Vec<(String, String)> {
        self.secrets.unread()
    }

    /// Replaces all `ReferenceGrant`s.
    #[expect(clippy::needless_pass_by_value, reason = "the caller hands over its snapshot")]
    pub fn set_grants(&mut self, grants: Vec<ReferenceGrant>) -> BTreeSet<ObjectId> {
        let grants = Grants::new(&grants);
        if grants == self.grants {
            return BTreeSet::new();
        }
        let old = std::mem::replace(&mut self.grants, grants);
        let mut changed = BTreeSet::new();
        for (backend, routes) in &self.referrers {
            let (namespace, name) = (&backend.namespace, &backend.name);
            changed.extend(routes.iter().filter(|route| {
                old.permit(&route.namespace, namespace, name)
                    != self.grants.permit(&route.namespace, namespace, name)
            }));
        }
        let changed: BTreeSet<ObjectId> = changed.into_iter().cloned().collect();
        let mut touched = changed.clone();
        for route in &changed {
            self.reindex(route, &mut touched);
        }
        touched
    }

    /// Says how many pods of `gateway` are ready: they share its quotas.
    pub fn set_pods(&mut self, gateway: &ObjectId, ready: u32) -> BTreeSet<ObjectId> {
        let before = self.pods(gateway);
        self.pods.insert(gateway.clone(), ready);
        let changed = self.resources.contains_key(gateway) && self.pods(gateway) != before;
        if changed { BTreeSet::from([gateway.clone()]) } else { BTreeSet::new() }
    }

    /// Says which pod of `gateway` asks providers for the balances of accounts; `None` when there is no pod to ask.
    pub fn set_balance_poller(&mut self, gateway: &ObjectId, pod: Option<String>) -> BTreeSet<ObjectId> {
        let changed = self.resources.contains_key(gateway) && self.balance_poller(gateway) != pod.as_deref();
        match pod {
            Some(pod) => self.pollers.insert(gateway.clone(), pod),
            None => self.pollers.remove(gateway),
        };
        if changed { BTreeSet::from([gateway.clone()]) } else { BTreeSet::new() }
    }

    /// Says whether the account of `backend` is out of balance, so that no pod sends it a call.
    pub fn set_parked(&mut self, backend: &ObjectId, parked: bool) -> BTreeSet<ObjectId> {
        let changed = if parked { self.parked.insert(backend.clone()) } else { self.parked.remove(backend) };
        let changed = changed && self.resources.contains_key(backend);
        if changed { BTreeSet::from([backend.clone()]) } else { BTreeSet::new() }
    }

    /// Compiles one resource; `None` when there is no such resource.
    pub fn compile(&self, id: &ObjectId) -> Option<Compilation> {
        let resource = self.resources.get(id)?;
        Some(compile::compile(self, id, resource))
    }

    /// Every resource, ordered by kind as the gateway joins them, then by namespace and name.
    pub fn ids(&self) -> BTreeSet<ObjectId> {
        self.resources.keys().cloned().collect()
    }

    /// The resource as it was applied.
    pub fn get(&self, id: &ObjectId) -> Option<&Resource> {
        self.resources.get(id)
    }

    /// The gateway of resources without a `gatewayRef`: the oldest one marked as default.
    pub fn default_gateway(&self) -> Option<&ObjectId> {
        self.defaults.first().map(|(_, id)| id)
    }

    /// Ready pods of `gateway`; its smallest size as long as nobody has said.
    pub(crate) fn pods(&self, gateway: &ObjectId) -> u32 {
        let smallest = || match self.resources.get(gateway) {
            Some(Resource::Gateway(object)) => crate::defaults::replicas(object.spec.replicas.as_ref()).0,
            _ => 1,
        };
        let known = self.pods.get(gateway).copied();
        known.unwrap_or_else(|| u32::try_from(smallest()).unwrap_or(1)).max(1)
    }

    /// The pod of `gateway` that asks for balances.
    pub fn balance_poller(&self, gateway: &ObjectId) -> Option<&str> {
        self.pollers.get(gateway).map(String::as_str)
    }

    /// Whether the account of `backend` is known to be out of balance.
    pub fn parked(&self, backend: &ObjectId) -> bool {
        self.parked.contains(backend)
    }

    /// The value of a Secret's key.
    pub(crate) fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<&[u8], Absent> {
        self.secrets.value(&(namespace.to_owned(), name.to_owned()), key)
    }

    /// Who holds `claim` on `gateway`.
    pub(crate) fn holder(&self, gateway: &ObjectId, claim: Claim) -> Option<&ObjectId> {
        self.claims.get(&(gateway.clone(), claim))?.first().map(|(_, id)| id)
    }

    /// Whether `backend` exists, and if so whether it is valid by itself.
    pub(crate) fn usable(&self, backend: &ObjectId) -> Option<bool> {
        self.resources.contains_key(backend).then(|| self.usable.contains(backend))
    }

    /// Gateways with a route that refers to `backend`.
    pub(crate) fn gateways_of(&self, backend: &ObjectId) -> impl Iterator<Item = &ObjectId> {
        self.links.get(backend).into_iter().flat_map(BTreeMap::keys)
    }

    fn replace(&mut self, id: &ObjectId, new: Option<Resource>) -> BTreeSet<ObjectId> {
        let mut touched = BTreeSet::from([id.clone()]);
        let old_age = self.resources.get(id).map(Resource::age);
        let aged = new.as_ref().map(Resource::age) != old_age;
        if aged && let Some(facts) = self.facts.get(id) {
            // Claims are ordered by age: a resource that is made anew goes to the end of the queue.
            let facts = Facts { claims: BTreeSet::new(), ..facts.clone() };
            self.set_facts(id, facts, &mut touched);
        }
        if id.kind == Kind::Gateway {
            self.replace_gateway(id, new, &mut touched);
        } else {
            let existed = self.resources.contains_key(id);
            let exists = new.is_some();
            self.put(id, new);
            self.reindex(id, &mut touched);
            if id.kind == Kind::Backend && existed != exists {
                self.touch_referrers(id, &mut touched);
            }
        }
        touched
    }

    /// Replaces a gateway and rebinds those that ask for it.
    fn replace_gateway(&mut self, id: &ObjectId, new: Option<Resource>, touched: &mut BTreeSet<ObjectId>) {
        let terms = |world: &Self| match world.resources.get(id) {
            Some(Resource::Gateway(object)) => {
                Some(object.spec.allowed_routes.as_ref().map(|allowed| allowed.from).unwrap_or_default())
            }
            _ => None,
        };
        let (old_terms, old_default) = (terms(self), self.default_gateway().cloned());
        self.defaults.retain(|(_, other)| other != id);
        if let Some(resource @ Resource::Gateway(object)) = &new
            && object.spec.default == Some(true)
        {
            self.defaults.insert(resource.age());
        }
        self.put(id, new);
        self.reindex(id, touched);

        let same_terms = terms(self) == old_terms;
        let new_default = self.default_gateway().cloned();
        let mut moved = BTreeSet::new();
        if !same_terms {
            moved.extend(self.choosers.get(&Choice::Named(id.clone())).into_iter().flatten().cloned());
        }
        if new_default != old_default || (!same_terms && new_default.as_ref() == Some(id)) {
            moved.extend(self.choosers.get(&Choice::Default).into_iter().flatten().cloned());
            // The younger of several defaults say which one counts.
            touched.extend(self.defaults.iter().map(|(_, id)| id.clone()));
        }
        for member in &moved {
            self.reindex(member, touched);
        }
        touched.extend(moved);
    }

    fn put(&mut self, id: &ObjectId, new: Option<Resource>) {
        match new {
            Some(resource) => self.resources.insert(id.clone(), resource),
            None => self.resources.remove(id),
        };
    }

    /// Brings the edges of `id` up to date and adds whoever sees the difference to `touched`.
    fn reindex(&mut self, id: &ObjectId, touched: &mut BTreeSet<ObjectId>) {
        let new = self.resources.get(id).map(|resource| self.facts(id, resource)).unwrap_or_default();
        self.set_facts(id, new, touched);
        if id.kind == Kind::Backend {
            let usable = match self.resources.get(id) {
                Some(Resource::Backend(object)) => compile::backend::usable(self, id, &object.spec),
                _ => false,
            };
            let changed = if usable { self.usable.insert(id.clone()) } else { self.usable.remove(id) };
            if changed {
                self.touch_referrers(id, touched);
            }
        }
    }

    fn touch_referrers(&self, backend: &ObjectId, touched: &mut BTreeSet<ObjectId>) {
        touched.extend(self.referrers.get(backend).into_iter().flatten().cloned());
    }

    fn set_facts(&mut self, id: &ObjectId, new: Facts, touched: &mut BTreeSet<ObjectId>) {
        let old = self.facts.remove(id).unwrap_or_default();
        if new.secrets != old.secrets {
            // Added before removed, so that what is known of a Secret survives a change of its only user.
            new.secrets.difference(&old.secrets).for_each(|key| self.secrets.add_user(key, id));
            old.secrets.difference(&new.secrets).for_each(|key| self.secrets.remove_user(key, id));
        }
        if new.choice != old.choice {
            if let Some(choice) = &old.choice {
                leave(&mut self.choosers, choice, id);
            }
            if let Some(choice) = &new.choice {
                self.choosers.entry(choice.clone()).or_default().insert(id.clone());
            }
        }
        for backend in old.refs.difference(&new.refs) {
            leave(&mut self.referrers, backend, id);
        }
        for backend in new.refs.difference(&old.refs) {
            self.referrers.entry(backend.clone()).or_default().insert(id.clone());
        }
        if new.wants != old.wants {
            if let Some(claim) = &old.wants {
                leave(&mut self.wanters, claim, id);
            }
            if let Some(claim) = &new.wants {
                self.wanters.entry(claim.clone()).or_default().insert(id.clone());
            }
        }
        self.set_claims(id, &old, &new, touched);
        self.set_links(&old, &new, touched);
        if new != Facts::default() {
            self.facts.insert(id.clone(), new);
        }
    }

    fn set_claims(&mut self, id: &ObjectId, old: &Facts, new: &Facts, touched: &mut BTreeSet<ObjectId>) {
        for claim in old.claims.difference(&new.claims) {
            let Some(holders) = self.claims.get_mut(claim) else { continue };
            touched.extend(holders.iter().map(|(_, id)| id.clone()));
            holders.retain(|(_, holder)| holder != id);
            if holders.is_empty() {
                self.claims.remove(claim);
                touched.extend(self.wanters.get(claim).into_iter().flatten().cloned());
            }
        }
        let age = self.resources.get(id).map(Resource::age);
        for claim in new.claims.difference(&old.claims) {
            let holders = self.claims.entry(claim.clone()).or_default();
            if holders.is_empty() {
                touched.extend(self.wanters.get(claim).into_iter().flatten().cloned());
            }
            holders.extend(age.clone());
            touched.extend(holders.iter().map(|(_, id)| id.clone()));
        }
    }

    fn set_links(&mut self, old: &Facts, new: &Facts, touched: &mut BTreeSet<ObjectId>) {
        for (backend, gateway) in old.links.difference(&new.links) {
            let Some(gateways) = self.links.get_mut(backend) else { continue };
            let Some(count) = gateways.get_mut(gateway) else { continue };
            *count -= 1;
            if *count == 0 {
                gateways.remove(gateway);
                touched.insert(backend.clone());
            }
            if gateways.is_empty() {
                self.links.remove(backend);
            }
        }
        for (backend, gateway) in new.links.difference(&old.links) {
            let gateways = self.links.entry(backend.clone()).or_default();
            let count = gateways.entry(gateway.clone()).or_default();
            *count += 1;
            if *count == 1 {
                touched.insert(backend.clone());
            }
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("resources", &self.resources.len()).finish_non_exhaustive()
    }
}

fn leave<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<ObjectId>>, key: &K, id: &ObjectId) {
    if let Some(members) = index.get_mut(key) {
        members.remove(id);
        if members.is_empty() {
            index.remove(key);
        }
    }
}
