//! Whatever a CEL rule of the definitions refuses, the compiler refuses by itself, and says more: so nothing harmful
//! gets through where no API server evaluates the rules.

#![expect(clippy::needless_pass_by_value, reason = "specs are written in place")]

use super::super::read::typed_resource;
use crate::document::Kind;
use crate::world::World;
use deepseek_crds::conditions::Reason;
use kube::core::cel::{Validator, compile_schema};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn definition(kind: Kind) -> Value {
    let all = deepseek_crds::all().into_iter().map(|(_, definition)| definition);
    let definition = all.into_iter().find(|d| d.spec.names.kind == kind.as_str()).unwrap();
    let version = serde_json::to_value(&definition.spec.versions[0]).unwrap();
    version.pointer("/schema/openAPIV3Schema").unwrap().clone()
}

fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert(rule["message"].as_str().unwrap().to_owned());
    }
    for property in schema["properties"].as_object().into_iter().flat_map(|map| map.values()) {
        messages(property, found);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key) {
            messages(inner, found);
        }
    }
}

fn named(kind: Kind, name: &str, spec: Value) -> (Kind, Value) {
    (kind, json!({"metadata": {"name": name, "namespace": "a"}, "spec": spec}))
}

/// A resource for each rule, wrong in that one thing.
fn offenders() -> Vec<(Kind, Value)> {
    let long = "n".repeat(64);
    let inline = json!({"name": "a", "baseUrl": "https://a.example"});
    let tls = json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}});
    let route = |fields: Value| {
        let mut spec = json!({"model": "m", "backends": [inline]});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        named(Kind::Route, "it", spec)
    };
    let account = |fields: Value| {
        let mut spec = json!({"baseUrl": "https://a.example"});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        named(Kind::Backend, "it", spec)
    };
    let second = json!({"name": "b", "baseUrl": "https://b.example"});
    let gateway = |spec: Value| named(Kind::Gateway, "it", spec);
    let listener =
        |port: u16, protocol: &str| json!({"name": format!("p{port}"), "port": port, "protocol": protocol});
    let keys = json!({"apiKeys": [{"secretRef": {"name": "s", "key": "k"}}]});
    vec![
        named(Kind::Route, &long, json!({"model": "m", "backends": [inline]})),
        named(Kind::Backend, &long, json!({"baseUrl": "https://a.example"})),
        named(Kind::Consumer, &long, keys),
        named(Kind::Gateway, &long, json!({})),
        account(json!({"baseUrl": "http://a.example", "tls": tls})),
        account(json!({"flavor": "VLLM", "balance": {}})),
        account(json!({"flavor": "OpenAI", "userId": "Consumer"})),
        account(json!({"balance": {"watch": false, "low": "1"}})),
        account(json!({"balance": {"interval": "9s"}})),
        route(json!({"aliases": ["m"]})),
        route(json!({"backends": [{"name": "a", "baseUrl": "https://a.example", "weight": 0}]})),
        route(json!({"backends": [{"name": "a"}]})),
        route(json!({"backends": [{"name": "a", "baseUrl": "http://a.example", "tls": tls}]})),
        route(json!({"backends": [{"name": "a", "backendRef": {"name": "b"}, "flavor": "VLLM"}]})),
        route(json!({"quota": [{"requests": 1, "tokens": 1, "window": "1m"}]})),
        route(json!({"quota": [{"requests": 1}]})),
        route(json!({"quota": [{"requests": 1, "window": "1m", "timeZone": "UTC"}]})),
        route(json!({"timeouts": {"connect": "2s", "request": "1s"}})),
        route(json!({"timeouts": {"firstToken": "2s", "request": "1s"}})),
        route(json!({"timeouts": {"idle": "2s", "request": "1s"}})),
        route(json!({"timeouts": {"byteIdle": "2s", "request": "1s"}})),
        route(json!({"timeouts": {"answer": "2s", "request": "1s"}})),
        route(json!({"failover": {"backoff": {"base": "2s", "max": "1s"}}})),
        route(json!({"failover": {"hedgeAfter": "1s"}})),
        route(json!({"backends": [inline, second], "failover": {"hedgeAfter": "1s", "attempts": 1}})),
        route(
            json!({"backends": [inline, second], "failover": {"hedgeAfter": "1s"}, "timeouts": {"request": "1s"}}),
        ),
        route(json!({"failover": {"fallback": {"cached": false}}})),
        route(json!({"failover": {"fallback": {"model": "m"}}})),
        route(json!({"keepAlive": {"interval": "999ms"}})),
        gateway(json!({"replicas": {"min": 2, "max": 1}})),
        gateway(json!({"limits": {"maxRequestBodyBytes": 2_000_000, "maxBufferedBytes": 1_500_000}})),
        gateway(json!({"listeners": [listener(15020, "HTTP")]})),
        gateway(json!({"listeners": [listener(8443, "HTTPS")]})),
        gateway(
            json!({"listeners": [{"name": "a", "port": 8080, "protocol": "HTTP"}, listener(8080, "HTTP")]}),
        ),
    ]
}

#[test]
fn the_compiler_refuses_whatever_a_rule_refuses() {
    let mut broken = BTreeSet::new();
    for (kind, document) in offenders() {
        let rules = compile_schema(&definition(kind));
        let errors = Validator::new().validate_compiled(&rules, &document, None).unwrap_err();
        broken.extend(errors.as_slice().iter().map(|error| error.message.clone()));

        let resource = typed_resource(kind, document.clone()).unwrap();
        let id = resource.id();
        let mut world = World::default();
        let (_, gateway) = named(Kind::Gateway, "default", json!({"default": true}));
        world.apply(typed_resource(Kind::Gateway, gateway).unwrap());
        world.apply(resource);
        let accepted = world.compile(&id).unwrap().verdict.accepted;
        assert_eq!(accepted.reason, Reason::Invalid, "{document}: {accepted:?}");
    }
    let mut rules = BTreeSet::new();
    for kind in Kind::ALL {
        messages(&definition(kind), &mut rules);
    }
    assert_eq!(broken, rules, "a rule without an offender here");
}
