//! Prints how long the compiler takes with many routes: `cargo run --release -p deepseek-config --example world_speed`.

#![expect(clippy::unwrap_used, reason = "the input is written here")]

use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::manifest;
use deepseek_config::world::{Resource, World};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

const ROUTES: u32 = 5_000;

const MANIFEST: &str = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: chat, namespace: team}
spec: {model: m, backends: [{name: a, baseUrl: 'https://a.example'}]}
";

fn main() {
    let start = Instant::now();
    manifest::read(MANIFEST).unwrap();
    per("read the first manifest", start, 1);
    let start = Instant::now();
    manifest::read(MANIFEST).unwrap();
    per("read another one", start, 1);
    let many: Vec<_> = (0..ROUTES).map(|i| MANIFEST.replace("chat", &format!("chat-{i}"))).collect();
    let many = many.join("---");
    let start = Instant::now();
    assert_eq!(manifest::read(&many).unwrap().len(), ROUTES as usize);
    per("read one of a file of many", start, ROUTES);

    let mut world = World::default();
    let gateway = json!({"metadata": {"name": "default", "namespace": "infra"}, "spec": {"default": true}});
    world.apply(Resource::Gateway(Arc::new(serde_json::from_value(gateway).unwrap())));
    let backend = json!({
        "metadata": {"name": "main", "namespace": "team"},
        "spec": {"baseUrl": "https://api.deepseek.com", "apiKeys": [{"secretRef": {"name": "keys", "key": "main"}}]}
    });
    world.apply(Resource::Backend(Arc::new(serde_json::from_value(backend).unwrap())));
    let secret = |value: &str| BTreeMap::from([("main".to_owned(), value.as_bytes().to_owned())]);
    world.set_secret("team", "keys", Some(secret("sk-1")));

    let routes: Vec<_> = (0..ROUTES).map(|i| route(i, 0)).collect();
    let start = Instant::now();
    for route in routes {
        world.apply(route);
    }
    per("apply a new route", start, ROUTES);

    let start = Instant::now();
    let outputs: usize = (0..ROUTES)
        .map(|i| world.compile(&route_id(i)).map_or(0, |compilation| compilation.outputs.len()))
        .sum();
    per("compile a route", start, ROUTES);
    assert_eq!(outputs, ROUTES as usize, "every route is accepted");

    let changed: Vec<_> = (0..ROUTES).map(|i| route(i, 1)).collect();
    let start = Instant::now();
    let touched: usize = changed.into_iter().map(|route| world.apply(route).len()).sum();
    per("apply a changed route", start, ROUTES);
    println!("{touched} resources touched by {ROUTES} changes");

    let start = Instant::now();
    let touched = world.set_secret("team", "keys", Some(secret("sk-2"))).len();
    per("rotate the key of the backend they share", start, 1);
    println!("{touched} resources touched");

    let start = Instant::now();
    let touched = world.remove(&ObjectId::new(Kind::Backend, "team", "main")).len();
    per("remove that backend", start, 1);
    println!("{touched} resources touched");
}

fn route_id(i: u32) -> ObjectId {
    ObjectId::new(Kind::Route, "team", format!("route-{i}"))
}

fn route(i: u32, priority: i32) -> Resource {
    let object = json!({
        "metadata": {"name": format!("route-{i}"), "namespace": "team", "creationTimestamp": "2025-01-01T00:00:00Z"},
        "spec": {
            "model": format!("model-{i}"),
            "backends": [
                {"name": "main", "backendRef": {"name": "main"}, "priority": priority},
                {"name": "own", "baseUrl": "http://vllm.models.svc:8000/v1", "flavor": "VLLM", "priority": 1}
            ],
            "quota": [{"requests": 60, "window": "1m"}, {"requests": 1000, "window": "1d", "timeZone": "Asia/Shanghai"}],
            "timeouts": {"firstToken": "30s", "request": "5m"}
        }
    });
    Resource::Route(Arc::new(serde_json::from_value(object).unwrap()))
}

fn per(what: &str, start: Instant, times: u32) {
    println!("{what}: {:.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(times));
}
