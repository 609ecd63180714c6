//! Properties of the world: however it came to be, it compiles the same; and a change touches whatever it changes.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use deepseek_config::compile::Compilation;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::world::{Resource, World};
use deepseek_crds::reference_grant::ReferenceGrant;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something that happens to a world. The universe is small, so that references meet their targets and names collide.
#[derive(Clone, Debug)]
enum Event {
    Apply(Kind, &'static str, u8, Value, u8),
    Remove(Kind, &'static str, u8),
    Secret(&'static str, Option<u8>),
    Grants(Vec<(&'static str, &'static str, bool)>),
    Pods(&'static str, u32),
    Poller(&'static str, Option<u8>),
    Parked(&'static str, bool),
}

const NAMESPACES: [&str; 2] = ["a", "b"];

/// What is in the world, without any index.
#[derive(Clone, Default)]
struct Model {
    resources: BTreeMap<ObjectId, Resource>,
    secrets: BTreeMap<&'static str, Option<u8>>,
    grants: Vec<ReferenceGrant>,
    pods: BTreeMap<ObjectId, u32>,
    pollers: BTreeMap<ObjectId, Option<String>>,
    parked: BTreeMap<ObjectId, bool>,
}

fn namespace() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMESPACES[..])
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn gateway_ref() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        1 => (namespace(), 0..2_u8).prop_map(|(ns, n)| json!({"name": format!("x{n}"), "namespace": ns})),
    ]
}

fn spec(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Gateway => (any::<bool>(), any::<bool>())
            .prop_map(|(default, all)| {
                json!({"default": default, "allowedRoutes": {"from": if all { "All" } else { "Same" }}})
            })
            .boxed(),
        Kind::Backend => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(valid, secret, watched)| {
                let keys = if secret { json!([{"secretRef": {"name": "s", "key": "k"}}]) } else { json!([]) };
                let url = if valid { "https://a.example" } else { "https://" };
                json!({"baseUrl": url, "apiKeys": keys, "balance": {"watch": watched}})
            })
            .boxed(),
        Kind::Consumer => gateway_ref()
            .prop_map(|gateway| {
                json!({"gatewayRef": gateway, "apiKeys": [{"secretRef": {"name": "s", "key": "k"}}]})
            })
            .boxed(),
        Kind::Route => (gateway_ref(), 0..3_u8, 0..3_u8, 0..4_u8, namespace(), 0..2_u8, any::<bool>())
            .prop_map(|(gateway, model, alias, spare, ns, n, inline)| {
                let backend = if inline {
                    json!({"name": "b", "baseUrl": "https://a.example", "apiKey": {"secretRef": {"name": "s", "key": "k"}}})
                } else {
                    json!({"name": "b", "backendRef": {"name": format!("x{n}"), "namespace": ns}})
                };
                let aliases = if alias == model { json!([]) } else { json!([format!("m{alias}")]) };
                let model = format!("m{model}");
                let fallback = json!({"cached": true, "model": format!("m{spare}")});
                let failover = if spare < 3 { json!({"fallback": fallback}) } else { json!({}) };
                json!({"gatewayRef": gateway, "model": model, "aliases": aliases, "backends": [backend], "failover": failover})
            })
            .boxed(),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let apply = kind().prop_flat_map(|kind| (Just(kind), namespace(), 0..2_u8, spec(kind), 1..4_u8));
    prop_oneof![
        8 => apply.prop_map(|(kind, ns, n, spec, made)| Event::Apply(kind, ns, n, spec, made)),
        3 => (kind(), namespace(), 0..2_u8).prop_map(|(kind, ns, n)| Event::Remove(kind, ns, n)),
        3 => (namespace(), prop::option::of(0..2_u8)).prop_map(|(ns, value)| Event::Secret(ns, value)),
        1 => prop::collection::vec((namespace(), namespace(), any::<bool>()), 0..3).prop_map(Event::Grants),
        1 => (namespace(), 0..4_u32).prop_map(|(ns, ready)| Event::Pods(ns, ready)),
        1 => (namespace(), prop::option::of(0..2_u8)).prop_map(|(ns, pod)| Event::Poller(ns, pod)),
        1 => (namespace(), any::<bool>()).prop_map(|(ns, parked)| Event::Parked(ns, parked)),
    ]
}

fn resource(kind: Kind, namespace: &str, n: u8, mut spec: Value, made: u8) -> Resource {
    if spec["gatewayRef"].is_null() {
        spec.as_object_mut().unwrap().remove("gatewayRef");
    }
    let object = json!({
        "metadata": {
            "name": format!("x{n}"), "namespace": namespace, "uid": format!("{made}"),
            "creationTimestamp": format!("2025-01-0{made}T00:00:00Z")
        },
        "spec": spec
    });
    match kind {
        Kind::Gateway => Resource::Gateway(Arc::new(serde_json::from_value(object).unwrap())),
        Kind::Backend => Resource::Backend(Arc::new(serde_json::from_value(object).unwrap())),
        Kind::Consumer => Resource::Consumer(Arc::new(serde_json::from_value(object).unwrap())),
        Kind::Route => Resource::Route(Arc::new(serde_json::from_value(object).unwrap())),
    }
}

fn grant((from, to, every): (&str, &str, bool)) -> ReferenceGrant {
    let mut target = json!({"group": "deepseekroute.io", "kind": "DeepSeekBackend"});
    if !every {
        target["name"] = "x0".into();
    }
    let object = json!({
        "metadata": {"name": "g", "namespace": to},
        "spec": {"from": [{"group": "deepseekroute.io", "kind": "DeepSeekRoute", "namespace": from}], "to": [target]}
    });
    serde_json::from_value(object).unwrap()
}

fn data(value: u8) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("k".to_owned(), format!("a-key-long-enough-{value}").into_bytes())])
}

impl Model {
    /// Lets `event` happen here and in `world`, and returns what the world says it touches.
    fn happen(&mut self, world: &mut World, event: Event) -> BTreeSet<ObjectId> {
        match event {
            Event::Apply(kind, namespace, n, spec, made) => {
                let resource = resource(kind, namespace, n, spec, made);
                self.resources.insert(resource.id(), resource.clone());
                let mut touched = world.apply(resource);
                touched.extend(self.read_secrets(world));
                touched
            }
            Event::Remove(kind, namespace, n) => {
                let id = ObjectId::new(kind, namespace, format!("x{n}"));
                self.resources.remove(&id);
                self.pods.remove(&id);
                self.pollers.remove(&id);
                self.parked.remove(&id);
                world.remove(&id)
            }
            Event::Secret(namespace, value) => {
                self.secrets.insert(namespace, value);
                world.set_secret(namespace, "s", value.map(data))
            }
            Event::Grants(grants) => {
                self.grants = grants.into_iter().map(grant).collect();
                world.set_grants(self.grants.clone())
            }
            Event::Pods(namespace, ready) => {
                let id = ObjectId::new(Kind::Gateway, namespace, "x0");
                if self.resources.contains_key(&id) {
                    self.pods.insert(id.clone(), ready);
                    world.set_pods(&id, ready)
                } else {
                    BTreeSet::new()
                }
            }
            Event::Poller(namespace, pod) => {
                let id = ObjectId::new(Kind::Gateway, namespace, "x0");
                let pod = pod.map(|n| format!("pod-{n}"));
                self.pollers.insert(id.clone(), pod.clone());
                world.set_balance_poller(&id, pod)
            }
            Event::Parked(namespace, parked) => {
                let id = ObjectId::new(Kind::Backend, namespace, "x0");
                self.parked.insert(id.clone(), parked);
                world.set_parked(&id, parked)
            }
        }
    }

    fn read_secrets(&self, world: &mut World) -> BTreeSet<ObjectId> {
        let mut touched = BTreeSet::new();
        for (namespace, name) in world.unread_secrets() {
            let value = self.secrets.get(namespace.as_str()).copied().flatten();
            touched.extend(world.set_secret(&namespace, &name, value.map(data)));
        }
        touched
    }

    /// A world made of the same things in another order.
    fn anew(&self, backwards: bool) -> World {
        let mut world = World::default();
        let mut resources: Vec<_> = self.resources.values().cloned().collect();
        if backwards {
            resources.reverse();
            world.set_grants(self.grants.clone());
        }
        for resource in resources {
            world.apply(resource);
        }
        self.read_secrets(&mut world);
        world.set_grants(self.grants.clone());
        for (gateway, ready) in &self.pods {
            world.set_pods(gateway, *ready);
        }
        for (gateway, pod) in &self.pollers {
            world.set_balance_poller(gateway, pod.clone());
        }
        for (backend, parked) in &self.parked {
            world.set_parked(backend, *parked);
        }
        world
    }
}

fn compiled(world: &World) -> BTreeMap<ObjectId, Compilation> {
    world.ids().into_iter().map(|id| (id.clone(), world.compile(&id).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_world_compiles_the_same_however_it_came_to_be(events in prop::collection::vec(event(), 1..40)) {
        let (mut world, mut model) = (World::default(), Model::default());
        for event in events {
            model.happen(&mut world, event);
        }
        let compiled = compiled(&world);
        prop_assert_eq!(&compiled, &self::compiled(&model.anew(false)));
        prop_assert_eq!(&compiled, &self::compiled(&model.anew(true)));
    }

    #[test]
    fn whatever_a_change_changes_is_touched(events in prop::collection::vec(event(), 1..40)) {
        let (mut world, mut model) = (World::default(), Model::default());
        let mut before = BTreeMap::new();
        for event in events {
            let touched = model.happen(&mut world, event.clone());
            let after = compiled(&world);
            let ids: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
            for id in ids {
                if before.get(&id) != after.get(&id) {
                    prop_assert!(touched.contains(&id), "{event:?} changed {id} without touching it");
                }
            }
            before = after;
        }
    }

    #[test]
    fn a_refused_resource_has_no_outputs(events in prop::collection::vec(event(), 1..40)) {
        let (mut world, mut model) = (World::default(), Model::default());
        for event in events {
            model.happen(&mut world, event);
        }
        for (id, compilation) in compiled(&world) {
            prop_assert!(compilation.verdict.ok() || compilation.outputs.is_empty(), "{id}");
        }
    }
}
