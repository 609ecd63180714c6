//! The CEL rules: each is broken once, and says what a person understands.

use deepseek_crds::v1alpha1::{DeepSeekBackend, DeepSeekConsumer, DeepSeekGateway, DeepSeekRoute};
use kube::core::cel::ValidationErrors;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ROUTE: fn() -> Value = || {
    json!({
        "metadata": {"name": "chat", "namespace": "team-a"},
        "spec": {
            "model": "deepseek-chat",
            "backends": [{"name": "official", "baseUrl": "https://api.deepseek.com"}],
        }
    })
};
const BACKEND: fn() -> Value = || json!({"metadata": {"name": "main", "namespace": "a"}, "spec": {"baseUrl": "https://api.deepseek.com"}});
const GATEWAY: fn() -> Value = || json!({"metadata": {"name": "default", "namespace": "a"}, "spec": {}});
const CONSUMER: fn() -> Value = || {
    json!({
        "metadata": {"name": "app", "namespace": "a"},
        "spec": {"apiKeys": [{"secretRef": {"name": "app", "key": "key"}}]}
    })
};

/// Sets `pointer` in `base` to `value` and returns what the rules say.
fn said<K: DeserializeOwned>(
    base: fn() -> Value,
    pointer: &str,
    value: &Value,
    check: fn(&K) -> Result<(), ValidationErrors>,
) -> Vec<String> {
    let mut object = base();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value.clone(),
        fields => fields[field] = value.clone(),
    }
    let object: K = serde_json::from_value(object).unwrap();
    match check(&object) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.as_slice().iter().map(|error| error.message.clone()).collect(),
    }
}

fn check<K: DeserializeOwned>(
    base: fn() -> Value,
    check: fn(&K) -> Result<(), ValidationErrors>,
    cases: &[(&str, Value, &[&str])],
) {
    for (pointer, value, expected) in cases {
        assert_eq!(said(base, pointer, value, check), *expected, "{pointer} = {value}");
    }
}

fn long(n: usize) -> Value {
    "n".repeat(n).into()
}

#[test]
fn routes() {
    let tls = json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}});
    let reference = json!({"name": "main"});
    let both = json!([{"name": "a", "baseUrl": "https://a.example", "backendRef": reference}]);
    let flavored = json!([{"name": "a", "flavor": "VLLM", "backendRef": reference}]);
    let zoned = json!([{"name": "a", "zone": "eu-1a", "backendRef": reference}]);
    let plain_tls = json!([{"name": "a", "baseUrl": "http://a.example", "tls": tls}]);
    check(
        ROUTE,
        DeepSeekRoute::validate_cel,
        &[
            ("/metadata/name", long(63), &[]),
            ("/metadata/name", long(64), &["the name of a DeepSeekRoute is at most 63 characters"]),
            ("/spec/aliases", json!(["deepseek-chat"]), &["aliases must not repeat model"]),
            ("/spec/backends/0/weight", json!(0), &["at least one backend needs a weight above 0"]),
            ("/spec/backends/0", json!({"name": "a"}), &["set exactly one of backendRef and baseUrl"]),
            ("/spec/backends", both, &["set exactly one of backendRef and baseUrl"]),
            (
                "/spec/backends",
                flavored,
                &[
                    "flavor, apiKey, tls and zone belong to baseUrl; with backendRef they come from the DeepSeekBackend",
                ],
            ),
            (
                "/spec/backends",
                zoned,
                &[
                    "flavor, apiKey, tls and zone belong to baseUrl; with backendRef they come from the DeepSeekBackend",
                ],
            ),
            ("/spec/backends/0/zone", json!("eu-1a"), &[]),
            ("/spec/backends", plain_tls, &["tls needs an https baseUrl"]),
            ("/spec/backends/0/tls", tls, &[]),
        ],
    );
}

#[test]
fn quotas() {
    const KINDS: &str = "set exactly one of requests, tokens and concurrent";
    const WINDOW: &str = "requests and tokens need a window such as 1m; concurrent takes none";
    const ZONE: &str = "timeZone goes with a window of days (d) or months (mo)";
    check(
        ROUTE,
        DeepSeekRoute::validate_cel,
        &[
            ("/spec/quota", json!([{"requests": 1, "window": "1m"}, {"concurrent": 1}]), &[]),
            ("/spec/quota", json!([{"tokens": 1, "window": "1d", "timeZone": "Asia/Shanghai"}]), &[]),
            ("/spec/quota", json!([{"requests": 1, "tokens": 1, "window": "1m"}]), &[KINDS]),
            ("/spec/quota", json!([{"window": "1m"}]), &[KINDS]),
            ("/spec/quota", json!([{"requests": 1}]), &[WINDOW]),
            ("/spec/quota", json!([{"concurrent": 1, "window": "1m"}]), &[WINDOW]),
            ("/spec/quota", json!([{"requests": 1, "window": "1h", "timeZone": "UTC"}]), &[ZONE]),
        ],
    );
}

#[test]
fn timeouts_and_backoff() {
    check(
        ROUTE,
        DeepSeekRoute::validate_cel,
        &[
            ("/spec/timeouts", json!({"request": "1m30s", "idle": "90s"}), &[]),
            (
                "/spec/timeouts",
                json!({"request": "1s", "connect": "2s"}),
                &["connect must not be longer than request"],
            ),
            (
                "/spec/timeouts",
                json!({"request": "30s", "firstToken": "1m"}),
                &["firstToken must not be longer than request"],
            ),
            (
                "/spec/timeouts",
                json!({"request": "30s", "idle": "1h"}),
                &["idle must not be longer than request"],
            ),
            (
                "/spec/timeouts",
                json!({"request": "30s", "byteIdle": "31s"}),
                &["byteIdle must not be longer than request"],
            ),
            (
                "/spec/timeouts",
                json!({"request": "30s", "answer": "31s"}),
                &["answer must not be longer than request"],
            ),
            (
                "/spec/failover",
                json!({"backoff": {"base": "5s", "max": "500ms"}}),
                &["base must not be longer than max"],
            ),
        ],
    );
}

#[test]
fn hedging() {
    const SECOND: &str = "hedgeAfter needs a second backend";
    const COUNTS: &str = "hedgeAfter needs attempts above 1 and budgetPercent above 0";
    const SHORTER: &str = "hedgeAfter must be shorter than timeouts.request";
    let two = json!([{"name": "a", "baseUrl": "https://a"}, {"name": "b", "baseUrl": "https://b"}]);
    let spec = |failover: Value| json!({"model": "m", "backends": two, "failover": failover});
    let with = |failover: Value, timeouts: Value| {
        let mut spec = spec(failover);
        spec["timeouts"] = timeouts;
        spec
    };
    check(
        ROUTE,
        DeepSeekRoute::validate_cel,
        &[
            ("/spec", spec(json!({"hedgeAfter": "2s"})), &[]),
            ("/spec", spec(json!({"attempts": 1, "budgetPercent": 0})), &[]),
            ("/spec/failover", json!({"hedgeAfter": "2s"}), &[SECOND]),
            ("/spec", spec(json!({"hedgeAfter": "2s", "attempts": 1})), &[COUNTS]),
            ("/spec", spec(json!({"hedgeAfter": "2s", "budgetPercent": 0})), &[COUNTS]),
            ("/spec", with(json!({"hedgeAfter": "2s"}), json!({"request": "3s", "idle": "3s"})), &[]),
            ("/spec", with(json!({"hedgeAfter": "3s"}), json!({"request": "3s"})), &[SHORTER]),
        ],
    );
}

#[test]
fn fallback_and_signs_of_life() {
    const ONE: &str = "fallback needs one of cached: true, model and static";
    const OTHER: &str = "the fallback model must be another one than this route's";
    let with_alias = |model: &str| {
        json!({"model": "m", "aliases": ["n"], "backends": [{"name": "a", "baseUrl": "https://a"}],
            "failover": {"fallback": {"model": model}}})
    };
    check(
        ROUTE,
        DeepSeekRoute::validate_cel,
        &[
            ("/spec/failover", json!({"fallback": {"cached": true}}), &[]),
            ("/spec/failover", json!({"fallback": {"static": {"content": "Later."}}}), &[]),
            ("/spec/failover", json!({"fallback": {}}), &[ONE]),
            ("/spec/failover", json!({"fallback": {"cached": false}}), &[ONE]),
            ("/spec/failover", json!({"fallback": {"model": "deepseek-flash"}}), &[]),
            ("/spec/failover", json!({"fallback": {"model": "deepseek-chat"}}), &[OTHER]),
            ("/spec", with_alias("o"), &[]),
            ("/spec", with_alias("n"), &[OTHER]),
            ("/spec/keepAlive", json!({"interval": "1s"}), &[]),
            ("/spec/keepAlive", json!({"interval": "500ms"}), &["interval must be at least 1s"]),
        ],
    );
}

#[test]
fn accounts() {
    const BALANCE: &str = "only flavor DeepSeek tells its balance";
    const USER_ID: &str = "only flavor DeepSeek takes a user_id";
    let spec = |fields: Value| {
        let mut spec = json!({"baseUrl": "https://a.example"});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        spec
    };
    check(
        BACKEND,
        DeepSeekBackend::validate_cel,
        &[
            (
                "/spec",
                spec(json!({"balance": {"interval": "10s", "low": "10.00"}, "userId": "Consumer"})),
                &[],
            ),
            ("/spec", spec(json!({"flavor": "DeepSeek", "balance": {"watch": false}})), &[]),
            ("/spec", spec(json!({"flavor": "VLLM", "balance": {"watch": false}})), &[BALANCE]),
            ("/spec", spec(json!({"flavor": "VLLM", "userId": "Caller"})), &[]),
            ("/spec", spec(json!({"flavor": "VLLM", "userId": "Consumer"})), &[USER_ID]),
            ("/spec/balance", json!({"interval": "9s"}), &["interval must be at least 10s"]),
            (
                "/spec/balance",
                json!({"watch": false, "low": "1"}),
                &["interval and low have no meaning with watch: false"],
            ),
        ],
    );
}

#[test]
fn backends_and_consumers() {
    let tls = json!({"baseUrl": "http://a.example", "tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}}});
    check(
        BACKEND,
        DeepSeekBackend::validate_cel,
        &[
            ("/metadata/name", long(64), &["the name of a DeepSeekBackend is at most 63 characters"]),
            ("/spec", tls, &["tls needs an https baseUrl"]),
        ],
    );
    check(
        CONSUMER,
        DeepSeekConsumer::validate_cel,
        &[("/metadata/name", long(64), &["the name of a DeepSeekConsumer is at most 63 characters"])],
    );
}

#[test]
fn gateways() {
    let listener = |port: i32| json!({"name": format!("p{port}"), "port": port, "protocol": "HTTP"});
    let tls = json!({"secretRef": {"name": "cert"}});
    check(
        GATEWAY,
        DeepSeekGateway::validate_cel,
        &[
            ("/metadata/name", long(40), &[]),
            (
                "/metadata/name",
                long(41),
                &[
                    "the name of a DeepSeekGateway is at most 40 characters, so that the names of its pods fit",
                ],
            ),
            ("/spec/replicas", json!({"min": 3, "max": 2}), &["min must not be above max"]),
            ("/spec/limits", json!({"maxRequestBodyBytes": 1_048_576, "maxBufferedBytes": 1_048_576}), &[]),
            (
                "/spec/limits",
                json!({"maxRequestBodyBytes": 1_048_577, "maxBufferedBytes": 1_048_576}),
                &["maxRequestBodyBytes must not be above maxBufferedBytes"],
            ),
            ("/spec/listeners", json!([listener(8080), listener(8081)]), &[]),
            ("/spec/listeners", json!([listener(15021)]), &["15020 and 15021 are the gateway's own ports"]),
            (
                "/spec/listeners",
                json!([{"name": "a", "port": 8080, "protocol": "HTTP"}, {"name": "b", "port": 8080, "protocol": "HTTP"}]),
                &["each listener needs a port of its own"],
            ),
            (
                "/spec/listeners",
                json!([{"name": "a", "port": 8443, "protocol": "HTTPS"}]),
                &["tls goes with protocol HTTPS, and only with it"],
            ),
            (
                "/spec/listeners",
                json!([{"name": "a", "port": 8080, "protocol": "HTTP", "tls": tls}]),
                &["tls goes with protocol HTTPS, and only with it"],
            ),
        ],
    );
}

#[test]
fn the_shortest_forms_pass() {
    let route: DeepSeekRoute = serde_json::from_value(ROUTE()).unwrap();
    let backend: DeepSeekBackend = serde_json::from_value(BACKEND()).unwrap();
    let gateway: DeepSeekGateway = serde_json::from_value(GATEWAY()).unwrap();
    let consumer: DeepSeekConsumer = serde_json::from_value(CONSUMER()).unwrap();
    route.validate_cel().unwrap();
    backend.validate_cel().unwrap();
    gateway.validate_cel().unwrap();
    consumer.validate_cel().unwrap();
}
