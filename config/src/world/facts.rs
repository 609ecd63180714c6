//! What one resource claims of and shares with the others: the edges of the index.
//!
//! ```text
//!   consumer, route ──choice──▶ gateway (named, or the default)
//!        │                        ▲
//!        ├──claims────────────────┤   model names, API key hashes: one holder each, the oldest
//!   route ──wants─────────────────┘   the model name it falls back on
//!   route ──refs──▶ backend ──links┘  a backend is needed on every gateway with a permitted reference to it
//!   any ──secrets──▶ Secret
//! ```
//!
//! Facts follow from the specs, the gateways, the grants and (key hashes) the Secrets, never from verdicts: a claim is
//! held by existing, not by being accepted. So nothing cascades, and repairing an older resource never takes a name
//! away from a younger one that works.

use super::{Resource, World, grants::Grants, secrets::SecretKey};
use crate::compile::{backend, consumer, fallback, gateway, names, route};
use crate::document::{Kind, ObjectId};
use crate::keys::ApiKeyHash;
use deepseek_crds::v1alpha1::{AllowedNamespaces, DeepSeekGateway, GatewayRef, NamespacedRef};
use std::collections::BTreeSet;

/// Something that one resource of a gateway holds alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// A model name or alias.
    Model(String),
    /// An API key.
    Key(ApiKeyHash),
}

/// The gateway that a route or consumer asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Choice {
    /// The default one.
    Default,
    /// This one.
    Named(ObjectId),
}

/// The edges of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Keys of Secrets it uses.
    pub secrets: BTreeSet<SecretKey>,
    /// The gateway a route or consumer asks for.
    pub choice: Option<Choice>,
    /// What it claims, on which gateway.
    pub claims: BTreeSet<(ObjectId, Claim)>,
    /// What it needs somebody to hold, on which gateway: the model that it falls back on.
    pub wants: Option<(ObjectId, Claim)>,
    /// Backends it refers to, permitted or not.
    pub refs: BTreeSet<ObjectId>,
    /// Permitted references: backend, and the gateway that needs it.
    pub links: BTreeSet<(ObjectId, ObjectId)>,
}

impl World {
    pub(super) fn facts(&self, id: &ObjectId, resource: &Resource) -> Facts {
        let mut facts = Facts::default();
        match resource {
            Resource::Gateway(object) => facts.secrets = gateway::secrets(id, &object.spec),
            Resource::Backend(object) => facts.secrets = backend::secrets(id, &object.spec),
            Resource::Consumer(object) => {
                facts.secrets = consumer::secrets(id, &object.spec);
                facts.choice = Some(choice(id, object.spec.gateway_ref.as_ref()));
                if let Some(gateway) = self.bound(id, object.spec.gateway_ref.as_ref()) {
                    facts.claims = consumer::hashes(self, id, &object.spec)
                        .map(|hash| (gateway.clone(), Claim::Key(hash)))
                        .collect();
                }
            }
            Resource::Route(object) => {
                facts.secrets = route::secrets(id, &object.spec);
                facts.choice = Some(choice(id, object.spec.gateway_ref.as_ref()));
                let refs = object.spec.backends.iter().filter_map(|b| b.backend_ref.as_ref());
                facts.refs = refs.map(|r| backend_id(id, r)).collect();
                if let Some(gateway) = self.bound(id, object.spec.gateway_ref.as_ref()) {
                    facts.claims = names(&object.spec)
                        .map(|name| (gateway.clone(), Claim::Model(name.to_owned())))
                        .collect();
                    facts.wants = fallback::model(&object.spec)
                        .map(|name| (gateway.clone(), Claim::Model(name.to_owned())));
                    facts.links = facts
                        .refs
                        .iter()
                        .filter(|backend| permits(&self.grants, id, backend))
                        .map(|backend| (backend.clone(), gateway.clone()))
                        .collect();
                }
            }
        }
        facts
    }

    /// The gateway that `id` asks for and that takes it.
    fn bound(&self, id: &ObjectId, gateway_ref: Option<&GatewayRef>) -> Option<ObjectId> {
        let (gateway, object) = self.chosen_gateway(id, gateway_ref)?;
        takes(gateway, object, id).then(|| gateway.clone())
    }

    /// The gateway that `id` asks for, whether or not it takes `id`.
    pub(crate) fn chosen_gateway(
        &self,
        id: &ObjectId,
        gateway_ref: Option<&GatewayRef>,
    ) -> Option<(&ObjectId, &DeepSeekGateway)> {
        let wanted = match choice(id, gateway_ref) {
            Choice::Named(gateway) => gateway,
            Choice::Default => self.default_gateway()?.clone(),
        };
        match self.resources.get_key_value(&wanted)? {
            (gateway, Resource::Gateway(object)) => Some((gateway, object)),
            _ => None,
        }
    }

    /// Whether a route `id` may refer to `backend`.
    pub fn permits(&self, id: &ObjectId, backend: &ObjectId) -> bool {
        permits(&self.grants, id, backend)
    }
}

fn choice(id: &ObjectId, gateway_ref: Option<&GatewayRef>) -> Choice {
    let Some(gateway) = gateway_ref else { return Choice::Default };
    let namespace = gateway.namespace.as_deref().unwrap_or(&id.namespace);
    Choice::Named(ObjectId::new(Kind::Gateway, namespace, &gateway.name))
}

fn permits(grants: &Grants, id: &ObjectId, backend: &ObjectId) -> bool {
    grants.permit(&id.namespace, &backend.namespace, &backend.name)
}

/// The backend that `reference` in `id` names.
pub(crate) fn backend_id(id: &ObjectId, reference: &NamespacedRef) -> ObjectId {
    let namespace = reference.namespace.as_deref().unwrap_or(&id.namespace);
    ObjectId::new(Kind::Backend, namespace, &reference.name)
}

/// Whether `gateway` takes routes and consumers from the namespace of `id`.
pub(crate) fn takes(gateway: &ObjectId, object: &DeepSeekGateway, id: &ObjectId) -> bool {
    match object.spec.allowed_routes.as_ref().map(|allowed| allowed.from).unwrap_or_default() {
        AllowedNamespaces::All => true,
        AllowedNamespaces::Same => gateway.namespace == id.namespace,
    }
}
