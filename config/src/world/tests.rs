//! What a change touches.

#![expect(clippy::needless_pass_by_value, reason = "specs are written in place")]

use super::{Resource, World};
use crate::document::{Body, Kind, ObjectId};
use deepseek_crds::conditions::Reason;
use deepseek_crds::reference_grant::ReferenceGrant;
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
fn a_route_hears_of_the_coming_and_going_of_the_model_it_falls_back_on() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    world.apply(backend("main", "https://api.deepseek.com"));
    let mut chat = to("main");
    chat["failover"] = json!({"fallback": {"model": "small"}});
    world.apply(route("chat", OLD, chat));
    let reason =
        |world: &World| world.compile(&id(Kind::Route, "chat")).unwrap().verdict.resolved_refs.reason;
    assert_eq!(reason(&world), Reason::ModelNotFound);

    let mut small = to("main");
    small["model"] = json!("tiny");
    small["aliases"] = json!(["small"]);
    let touched = world.apply(route("small", YOUNG, small.clone()));
    assert_eq!(touched, BTreeSet::from([id(Kind::Route, "chat"), id(Kind::Route, "small")]));
    assert_eq!(reason(&world), Reason::ResolvedRefs);

    small["aliases"] = json!([]);
    assert!(world.apply(route("small", YOUNG, small)).contains(&id(Kind::Route, "chat")));
    assert_eq!(reason(&world), Reason::ModelNotFound);
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

fn grant(from: &str) -> ReferenceGrant {
    let object = json!({"metadata": {"name": "g", "namespace": "team-a"}, "spec": {
        "from": [{"group": "deepseekroute.io", "kind": "DeepSeekRoute", "namespace": from}],
        "to": [{"group": "deepseekroute.io", "kind": "DeepSeekBackend"}]}});
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_revoked_grant_refuses_the_route_and_takes_the_backend_away() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    world.apply(backend("main", "https://api.deepseek.com"));
    let object = json!({"metadata": {"name": "chat", "namespace": "team-b"}, "spec": {
        "model": "m", "backends": [{"name": "b", "backendRef": {"name": "main", "namespace": "team-a"}}]}});
    world.apply(Resource::Route(Arc::new(serde_json::from_value(object).unwrap())));
    let chat = ObjectId::new(Kind::Route, "team-b", "chat");

    let both = BTreeSet::from([chat.clone(), id(Kind::Backend, "main")]);
    assert_eq!(world.set_grants(vec![grant("team-b")]), both);
    assert!(world.compile(&chat).unwrap().verdict.ok());
    assert_eq!(world.compile(&id(Kind::Backend, "main")).unwrap().outputs.len(), 1);

    assert_eq!(world.set_grants(vec![grant("team-c")]), both);
    assert_eq!(world.compile(&chat).unwrap().verdict.resolved_refs.reason, Reason::BackendNotFound);
    assert!(world.compile(&id(Kind::Backend, "main")).unwrap().outputs.is_empty());
}

#[test]
fn a_refused_route_still_needs_its_backend_as_its_last_good_version_may_be_serving() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    world.apply(backend("main", "https://api.deepseek.com"));
    world.apply(route("chat", OLD, to("main")));
    let mut wrong = to("main");
    wrong["timeouts"] = json!({"request": "0s"});
    world.apply(route("chat", OLD, wrong));
    assert!(!world.compile(&id(Kind::Route, "chat")).unwrap().verdict.ok());
    assert_eq!(world.compile(&id(Kind::Backend, "main")).unwrap().outputs.len(), 1);
}

#[test]
fn the_younger_default_gateway_takes_over_when_the_older_one_goes() {
    let mut world = World::default();
    let made = |name: &str, made: &str| {
        let object = json!({"metadata": {"name": name, "namespace": "infra", "creationTimestamp": made},
            "spec": {"default": true}});
        Resource::Gateway(Arc::new(serde_json::from_value(object).unwrap()))
    };
    world.apply(made("old", OLD));
    world.apply(made("young", YOUNG));
    world.apply(backend("main", "https://api.deepseek.com"));
    world.apply(route("chat", OLD, to("main")));
    assert_eq!(world.default_gateway(), Some(&id(Kind::Gateway, "old")));
    assert_eq!(
        world.compile(&id(Kind::Gateway, "young")).unwrap().verdict.accepted.reason,
        Reason::Conflicted
    );

    let touched = world.remove(&id(Kind::Gateway, "old"));
    for touched_id in [id(Kind::Gateway, "young"), id(Kind::Route, "chat"), id(Kind::Backend, "main")] {
        assert!(touched.contains(&touched_id), "{touched_id}");
    }
    let outputs = world.compile(&id(Kind::Route, "chat")).unwrap().outputs;
    assert_eq!(outputs[0].gateway, id(Kind::Gateway, "young"));
}

#[test]
fn a_rotated_key_touches_the_backend_and_a_vanished_one_also_the_routes_behind_it() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    let object = json!({"metadata": {"name": "main", "namespace": "team-a"},
        "spec": {"baseUrl": "https://a.example", "apiKeys": [{"secretRef": {"name": "s", "key": "k"}}]}});
    world.apply(Resource::Backend(Arc::new(serde_json::from_value(object).unwrap())));
    world.apply(route("chat", OLD, to("main")));
    let data = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.as_bytes().to_owned())]));
    world.set_secret("team-a", "s", data("k", "one"));

    let backend = BTreeSet::from([id(Kind::Backend, "main")]);
    assert_eq!(world.set_secret("team-a", "s", data("k", "two")), backend);
    let both = BTreeSet::from([id(Kind::Backend, "main"), id(Kind::Route, "chat")]);
    assert_eq!(world.set_secret("team-a", "s", None), both);
    let verdict = world.compile(&id(Kind::Route, "chat")).unwrap().verdict;
    assert_eq!(verdict.resolved_refs.reason, Reason::BackendInvalid);
}

#[test]
fn no_key_shows_in_debug_output() {
    let mut world = World::default();
    world.apply(gateway("default", json!({"default": true})));
    let spec = json!({"model": "m", "backends": [{"name": "b", "baseUrl": "https://a.example",
        "apiKey": {"secretRef": {"name": "s", "key": "k"}}}]});
    world.apply(route("chat", OLD, spec));
    let data = BTreeMap::from([("k".to_owned(), b"hunter2".to_vec())]);
    world.set_secret("team-a", "s", Some(data));
    let compilation = world.compile(&id(Kind::Route, "chat")).unwrap();
    assert_eq!(compilation.outputs[0].keys.len(), 1);
    let shown = format!("{compilation:?} {world:?}");
    assert!(!shown.contains("hunter2") && !shown.contains(&format!("{:?}", b"hunter2")), "{shown}");
    assert!(shown.contains("<7 bytes>"), "{shown}");
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
