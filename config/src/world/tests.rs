//! What a change touches.

#![expect(clippy::needless_pass_by_value, reason = "specs are written in place")]

use super::{Resource, World};
use crate::document::{Body, Kind, ObjectId};
use deepseek_crds::conditions::Reason;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn gateway(name: &str, spec: Value) -> Resource {
    let object = json!({"metadata": {"name": name, "namespace": "infra"}, "spec": spec});
    Resource::Gateway(Arc::new(serde_json::from_value(object).unwrap()))
}

fn backend(name: &str, url: &str) -> Resource {
    let object = json!({"metadata": {"name": name, "namespace": "team-a"}, "spec": {"baseUrl": url}});
    Resource::Backend(Arc::new(serde_json::from_value(object).unwrap()))
}

fn route(name: &str, made: &str, spec: Value) -> Resource {
    let object =
        json!({"metadata": {"name": name, "namespace": "team-a", "creationTimestamp": made}, "spec": spec});
    Resource::Route(Arc::new(serde_json::from_value(object).unwrap()))
}

fn to(backend: &str) -> Value {
    json!({"model": "m", "backends": [{"name": "b", "backendRef": {"name": backend}}]})
}

fn id(kind: Kind, name: &str) -> ObjectId {
    ObjectId::new(kind, if kind == Kind::Gateway { "infra" } else { "team-a" }, name)
}

const OLD: &str = "2025-01-01T00:00:00Z";
const YOUNG: &str = "2025-01-02T00:00:00Z";

#[test]
fn a_backend_is_output_on_the_gateways_of_the_routes_that_refer_to_it() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    world.apply(backend("main", "https://api.deepseek.com"));
    assert!(world.compile(&id(Kind::Backend, "main")).unwrap().outputs.is_empty());

    let touched = world.apply(route("chat", OLD, to("main")));
    assert_eq!(touched, BTreeSet::from([id(Kind::Route, "chat"), id(Kind::Backend, "main")]));
    let outputs = world.compile(&id(Kind::Backend, "main")).unwrap().outputs;
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].gateway, id(Kind::Gateway, "default"));
    assert!(matches!(outputs[0].document.body, Body::Backend(_)));
}

#[test]
fn the_younger_route_takes_over_when_the_older_one_goes() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    world.apply(backend("main", "https://api.deepseek.com"));
    world.apply(route("young", YOUNG, to("main")));
    world.apply(route("old", OLD, to("main")));
    let verdict = world.compile(&id(Kind::Route, "young")).unwrap().verdict;
    assert_eq!(verdict.accepted.reason, Reason::Conflicted);

    assert!(world.remove(&id(Kind::Route, "old")).contains(&id(Kind::Route, "young")));
    assert!(world.compile(&id(Kind::Route, "young")).unwrap().verdict.ok());
}

#[test]
fn a_change_of_one_route_among_many_touches_only_itself() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    world.apply(backend("main", "https://api.deepseek.com"));
    let one = |i: usize, priority: i32| {
        route(
            &format!("r{i}"),
            OLD,
            json!({"model": format!("m{i}"), "backends": [{"name": "b", "backendRef": {"name": "main"}, "priority": priority}]}),
        )
    };
    for i in 0..100 {
        world.apply(one(i, 0));
    }
    assert_eq!(world.apply(one(7, 1)), BTreeSet::from([id(Kind::Route, "r7")]));
    assert!(world.apply(one(7, 1)).is_empty());
    let touched = world.apply(backend("main", "https://other.example"));
    assert_eq!(touched, BTreeSet::from([id(Kind::Backend, "main")]));
    assert_eq!(world.apply(backend("main", "nonsense")).len(), 101);
}

#[test]
fn a_secret_is_unread_until_it_is_set_and_forgotten_with_its_last_user() {
    let mut world = World::default();
    let object = json!({"metadata": {"name": "b", "namespace": "team-a"},
        "spec": {"baseUrl": "https://a", "apiKeys": [{"secretRef": {"name": "s", "key": "k"}}]}});
    world.apply(Resource::Backend(Arc::new(serde_json::from_value(object).unwrap())));
    assert_eq!(world.unread_secrets(), [("team-a".to_owned(), "s".to_owned())]);
    assert!(!world.compile(&id(Kind::Backend, "b")).unwrap().verdict.ok());

    let data = BTreeMap::from([("k".to_owned(), b"sk-1\n".to_vec())]);
    assert!(world.set_secret("team-a", "s", Some(data.clone())).contains(&id(Kind::Backend, "b")));
    assert!(world.compile(&id(Kind::Backend, "b")).unwrap().verdict.ok());
    assert!(world.set_secret("team-a", "s", Some(data)).is_empty());
    assert!(world.unread_secrets().is_empty());

    world.remove(&id(Kind::Backend, "b"));
    assert!(!world.wants_secret("team-a", "s"));
}
