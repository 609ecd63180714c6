//! The admin paths: set scenarios and read what was received, over HTTP.

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Account, Recorded, Scenario, Stats, Target, play::Reply, presets::PRESETS, scenario::InvalidScenario,
    state::State,
};

/// Where the admin paths begin.
pub(crate) const PREFIX: &str = "/__mock/";

/// `POST /__mock/scenario`: a scenario as text or object, for all requests, a model, a key or a user; none takes it back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetScenario {
    scenario: Option<Value>,
    model: Option<String>,
    key: Option<String>,
    user: Option<String>,
}

/// `POST /__mock/account`: what an account has from now on; `account` is its name, `default` unless given.
fn set_account(state: &State, body: &[u8]) -> Result<(), serde_json::Error> {
    let mut fields: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    let name = fields.remove("account");
    let has: Account = serde_json::from_value(Value::Object(fields))?;
    let name = name.as_ref().and_then(Value::as_str).unwrap_or("default");
    state.change_account(name, |account| *account = has);
    Ok(())
}

/// Answers an admin request.
pub(crate) async fn handle(state: &State, request: Request<Incoming>) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_start_matches(PREFIX);
    match (&head.method, path) {
        (&Method::GET, "health") => {
            reply(StatusCode::OK, &json!({"status": "ok", "name": state.options.name}))
        }
        (&Method::GET, "scenarios") => reply(StatusCode::OK, &presets()),
        (&Method::GET, "scenario") => reply(StatusCode::OK, &in_force(state)),
        (&Method::GET, "stats") => reply(StatusCode::OK, &shown_stats(state.stats())),
        (&Method::GET, "requests") => {
            let limit = query_number(head.uri.query(), "limit").unwrap_or(100);
            let all = state.read(|books| books.records.all());
            let newest: Vec<_> = all.iter().rev().take(limit).rev().map(shown_request).collect();
            reply(StatusCode::OK, &json!(newest))
        }
        (&Method::POST, "reset") => {
            state.reset();
            reply(StatusCode::OK, &json!({"reset": true}))
        }
        (&Method::GET, "accounts") => reply(StatusCode::OK, &json!(state.accounts())),
        (&Method::POST, "scenario") => match set(state, &read(body).await) {
            Ok(()) => reply(StatusCode::OK, &in_force(state)),
            Err(error) => reply(StatusCode::BAD_REQUEST, &json!({"error": error})),
        },
        (&Method::POST, "account") => match set_account(state, &read(body).await) {
            Ok(()) => reply(StatusCode::OK, &json!(state.accounts())),
            Err(error) => reply(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
        },
        _ => reply(
            StatusCode::NOT_FOUND,
            &json!({"error": "no such admin path", "paths": [
                "GET health", "GET scenarios", "GET scenario", "POST scenario", "GET accounts", "POST account", "GET stats",
                "GET requests", "POST reset",
            ]}),
        ),
    }
}

async fn read(body: Incoming) -> bytes::Bytes {
    body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

fn set(state: &State, body: &[u8]) -> Result<(), String> {
    let wanted: SetScenario = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let target = match (wanted.model, wanted.key, wanted.user) {
        (None, None, None) => Target::Default,
        (Some(model), None, None) => Target::Model(model),
        (None, Some(key), None) => Target::Key(key),
        (None, None, Some(user)) => Target::User(user),
        _ => return Err("a scenario is for a `model`, a `key` or a `user`, not for several of them".into()),
    };
    let scenario: Result<Scenario, InvalidScenario> = match wanted.scenario {
        None if target == Target::Default => Ok(state.options.scenario.clone()),
        None => {
            state.unset(&target);
            return Ok(());
        }
        Some(Value::String(text)) => text.parse(),
        Some(object) => object.to_string().parse(),
    };
    state.set(target, scenario.map_err(|error| error.to_string())?);
    Ok(())
}

fn presets() -> Value {
    PRESETS
        .iter()
        .map(|preset| json!({"name": preset.name, "fields": preset.fields, "about": preset.about}))
        .collect()
}

fn in_force(state: &State) -> Value {
    let all = state.scenarios();
    let shown = all.iter().map(|(target, scenario)| {
        let target = match target {
            Target::Default => json!("default"),
            Target::Model(model) => json!({"model": model}),
            Target::Key(key) => json!({"key": masked(key)}),
            Target::User(user) => json!({"user": user}),
        };
        json!({"for": target, "scenario": scenario.as_ref()})
    });
    shown.collect()
}

fn shown_stats(stats: Stats) -> Value {
    let by_key = stats.by_key.iter().map(|(key, count)| (masked(key), *count)).collect();
    json!(Stats { by_key, ..stats })
}

fn shown_request(request: &Recorded) -> Value {
    let headers: serde_json::Map<_, _> = request
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let is_secret = matches!(name.as_str(), "authorization" | "x-api-key" | "api-key");
            (name.to_string(), if is_secret { masked(&value).into() } else { value.into() })
        })
        .collect();
    json!({
        "id": request.id, "connection": request.connection, "method": request.method.as_str(), "path": request.path,
        "headers": headers, "body": String::from_utf8_lossy(&request.body), "key": request.key.as_deref().map(masked),
        "model": request.model, "scenario": request.scenario, "status": request.status.map(|status| status.as_u16()),
        "frames": request.frames, "outcome": request.outcome,
        "ended_after_ms": request.ended_after.map(|time| time.as_secs_f64() * 1000.0),
    })
}

fn masked(key: &str) -> String {
    let tail: String = key.chars().skip(key.chars().count().saturating_sub(4)).collect();
    format!("****{tail}")
}

fn query_number(query: Option<&str>, name: &str) -> Option<usize> {
    query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

fn reply(status: StatusCode, body: &Value) -> Response<Reply> {
    let mut response = Response::new(Reply::known((body.to_string() + "\n").into(), None));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
