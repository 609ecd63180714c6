//! What each resource last compiled to: secret values its documents need, and who refers to whom.

use deepseek_config::compile::Compilation;
use deepseek_config::document::{Body, Kind, ObjectId, Target};
use deepseek_config::keys::KeyId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Secret values, by the key they are projected under.
pub type Keys = BTreeMap<KeyId, Vec<u8>>;

/// What resources last compiled to.
#[derive(Default)]
pub struct Desired {
    keys: HashMap<ObjectId, BTreeMap<ObjectId, Keys>>,
    users: HashMap<ObjectId, BTreeSet<ObjectId>>,
    uses: HashMap<ObjectId, BTreeSet<ObjectId>>,
}

/// Whom a new compilation concerns besides the resource itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    /// Gateways whose projected keys change.
    pub keys: BTreeSet<ObjectId>,
    /// Gateways and backends that have another number of routes.
    pub counts: BTreeSet<ObjectId>,
}

impl Desired {
    /// Notes what `id` compiles to now; `None` when it is gone.
    pub fn set(&mut self, id: &ObjectId, compilation: Option<&Compilation>) -> Concerned {
        let outputs = compilation.map(|c| c.outputs.as_slice()).unwrap_or_default();
        let mut concerned = Concerned::default();

        let keyed = outputs.iter().filter(|output| !output.keys.is_empty());
        let new: BTreeMap<ObjectId, Keys> =
            keyed.map(|output| (output.gateway.clone(), output.keys.clone())).collect();
        let old = self.keys.remove(id).unwrap_or_default();
        let gateways: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
        concerned.keys =
            gateways.into_iter().filter(|gateway| old.get(gateway) != new.get(gateway)).collect();
        if !new.is_empty() {
            self.keys.insert(id.clone(), new);
        }

        if id.kind == Kind::Route {
            let mut uses = BTreeSet::new();
            for output in outputs {
                uses.insert(output.gateway.clone());
                let Body::Route(route) = &output.document.body else { continue };
                uses.extend(route.backends.iter().filter_map(|b| match &b.target {
                    Target::Ref(backend) => Some(backend.clone()),
                    Target::Inline(_) => None,
                }));
            }
            let old = self.uses.remove(id).unwrap_or_default();
            for gone in old.difference(&uses) {
                if let Some(users) = self.users.get_mut(gone) {
                    users.remove(id);
                }
            }
            for used in uses.difference(&old) {
                self.users.entry(used.clone()).or_default().insert(id.clone());
            }
            concerned.counts = old.symmetric_difference(&uses).cloned().collect();
            if !uses.is_empty() {
                self.uses.insert(id.clone(), uses);
            }
        }
        concerned
    }

    /// How many accepted routes use the gateway or backend `id`.
    pub fn routes(&self, id: &ObjectId) -> usize {
        self.users.get(id).map_or(0, BTreeSet::len)
    }

    /// Secret values that documents for `gateway` need.
    pub fn keys(&self, gateway: &ObjectId) -> BTreeMap<&KeyId, &[u8]> {
        let of_gateway = self.keys.values().filter_map(|by_gateway| by_gateway.get(gateway));
        of_gateway.flatten().map(|(id, value)| (id, value.as_slice())).collect()
    }
}
