//! Where scenarios come from, and what the account does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use mock_deepseek::{Mock, Options, Scenario, Target};
use serde_json::{Value, json};
use support::{Client, KEY, SOON, ask, chat, post, start, stream};

#[tokio::test]
async fn header_wins_over_model_name_over_key_over_model_over_default() {
    let mock = start().await;
    mock.set_default("status=501");
    assert_eq!(ask(&mock, json!({}), None).await.status, 501);
    mock.set_for_model("deepseek-v4-pro", "status=502");
    assert_eq!(ask(&mock, json!({}), None).await.status, 502);
    assert_eq!(ask(&mock, json!({"model": "deepseek-flash"}), None).await.status, 501);
    mock.set_for_key(KEY, "status=503");
    assert_eq!(ask(&mock, json!({}), None).await.status, 503);
    assert_eq!(ask(&mock, json!({"model": "mock/text?status=504"}), None).await.status, 504);
    assert_eq!(ask(&mock, json!({"model": "mock/text?status=504"}), Some("status=505")).await.status, 505);
    mock.unset(&Target::Key(KEY.into()));
    assert_eq!(ask(&mock, json!({}), None).await.status, 502);
    mock.reset();
    assert_eq!((ask(&mock, json!({}), None).await.status, mock.stats().requests), (200, 1));
}

#[tokio::test]
async fn a_model_named_after_a_scenario_is_served_under_its_name() {
    let mock = start().await;
    let answer = ask(&mock, json!({"model": "mock/text?chunks=3", "stream": true}), None).await;
    let events = answer.events();
    assert_eq!((events.len(), &events[0]["model"]), (5, &json!("mock/text?chunks=3")));
    assert_eq!(mock.stats().scenario("text"), 1);
}

#[tokio::test]
async fn a_misspelt_scenario_is_refused_with_what_is_wrong() {
    let mock = start().await;
    let answer = ask(&mock, json!({}), Some("stahl")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("no preset `stahl`"));
}

#[tokio::test]
async fn a_failure_can_be_of_the_first_requests_or_of_every_nth() {
    let mock = start().await;
    let mut statuses = vec![];
    mock.set_default("flaky?fail_first=2");
    for _ in 0..4 {
        statuses.push(ask(&mock, json!({}), None).await.status);
    }
    assert_eq!(statuses, [503, 503, 200, 200]);
    statuses.clear();
    mock.set_default(Scenario { status: Some(500), fail_every: Some(2), ..Scenario::default() });
    for _ in 0..4 {
        statuses.push(ask(&mock, json!({}), None).await.status);
    }
    assert_eq!(statuses, [200, 500, 200, 500]);
    for wanted in [503, 200] {
        assert_eq!(ask(&mock, json!({}), Some("status=503&fail_first=1")).await.status, wanted);
    }
}

async fn hold(mock: &Mock, key: &str, fields: Value) -> Client {
    let before = mock.stats().in_flight;
    let mut client = Client::to(mock).await;
    let bearer = format!("Bearer {key}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    client.send("POST", "/chat/completions", &headers, chat(fields).to_string().as_bytes()).await.unwrap();
    client.read_until(|text| text.contains("data: ")).await;
    assert_eq!(mock.stats().in_flight, before + 1);
    client
}

#[tokio::test]
async fn concurrency_is_of_the_account_and_model_whatever_the_key() {
    let accounts = BTreeMap::from([("sk-other-account".to_owned(), "b".to_owned())]);
    let mock = Mock::start(Options { accounts, ..Options::default() }).await.unwrap();
    mock.set_default("concurrency?concurrency=2&stall_after=1");
    let stalled = json!({"stream": true});
    let held =
        [hold(&mock, "sk-key-one", stalled.clone()).await, hold(&mock, "sk-key-two", stalled.clone()).await];
    let refused = stream(&mock, None).await;
    let wanted = "Your current concurrency is 3, which exceeds your concurrency limit of 2 based on your remaining balance. \
                  Please top up your balance to restore your concurrency.";
    assert_eq!((refused.status, refused.json()["error"]["message"].as_str()), (429, Some(wanted)));
    assert_eq!(refused.header("retry-after"), None);
    let _other_model = hold(&mock, "sk-key-one", json!({"stream": true, "model": "deepseek-flash"})).await;
    let _other_account = hold(&mock, "sk-other-account", stalled.clone()).await;
    drop(held);
    mock.wait_for(|stats| stats.cancelled == 2, SOON).await.unwrap();
    let _again = hold(&mock, "sk-key-one", stalled).await;
    assert_eq!(mock.stats().peak_concurrency["default/deepseek-v4-pro"], 2);
}

#[tokio::test]
async fn concurrency_can_be_of_each_user_of_the_account() {
    let mock = start().await;
    mock.set_default("concurrency?per_user=true&stall_after=1");
    let _held = hold(&mock, KEY, json!({"stream": true, "user_id": "u1"})).await;
    assert_eq!(ask(&mock, json!({"stream": true, "user_id": "u1"}), None).await.status, 429);
    let _other = hold(&mock, KEY, json!({"stream": true, "user_id": "u2"})).await;
}

#[tokio::test]
async fn a_limit_of_the_account_changes_while_requests_run_whatever_their_scenarios() {
    let mock = start().await;
    mock.set_concurrency(Some(2));
    mock.set_default("stall?stall_after=1");
    let stalled = json!({"stream": true});
    let _held =
        [hold(&mock, "sk-key-one", stalled.clone()).await, hold(&mock, "sk-key-two", stalled.clone()).await];
    mock.set_concurrency(Some(1));
    let refused = ask(&mock, stalled.clone(), Some("header_delay_ms=60000")).await;
    assert!(refused.text().contains("current concurrency is 3, which exceeds your concurrency limit of 1"));
    mock.set_concurrency(None);
    let _more = hold(&mock, KEY, stalled).await;
}

#[tokio::test]
async fn a_place_is_held_while_the_client_waits_for_headers_too() {
    let mock = start().await;
    mock.set_concurrency(Some(1));
    let mut first = Client::to(&mock).await;
    let headers = [("Authorization", "Bearer sk-one"), ("Content-Type", "application/json")];
    let slow = [headers[0], headers[1], ("x-mock-scenario", "header_delay_ms=60000")];
    first.send("POST", "/chat/completions", &slow, chat(json!({})).to_string().as_bytes()).await.unwrap();
    mock.wait_for(|stats| !stats.peak_concurrency.is_empty(), SOON).await.unwrap();
    assert_eq!(ask(&mock, json!({}), None).await.status, 429);
    drop(first);
    mock.wait_for(|stats| stats.cancelled == 1, SOON).await.unwrap();
    assert_eq!(ask(&mock, json!({}), None).await.status, 200);
}

#[tokio::test]
async fn a_scenario_can_be_for_one_end_user() {
    let mock = start().await;
    mock.set_for_user("tenant-1", "user-limit");
    let refused = ask(&mock, json!({"user_id": "tenant-1"}), None).await;
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("user_id"), "{}", refused.text());
    assert_eq!(ask(&mock, json!({"user_id": "tenant-2"}), None).await.status, 200);
    assert_eq!(ask(&mock, json!({}), None).await.status, 200);
}

#[tokio::test]
async fn a_balance_changes_with_time_and_the_balance_endpoint_follows() {
    let mock = start().await;
    for (balance, status, available) in [("3.50", 200, true), ("0.00", 402, false), ("20.00", 200, true)] {
        mock.set_balance(balance);
        assert_eq!(ask(&mock, json!({}), None).await.status, status);
        let mut client = Client::to(&mock).await;
        client.send("GET", "/user/balance", &[("Authorization", "Bearer sk-any")], b"").await.unwrap();
        let told = client.answer().await.json();
        assert_eq!(told["is_available"], available);
        assert_eq!(told["balance_infos"][0]["total_balance"], balance);
    }
}

#[tokio::test]
async fn a_request_s_times_are_kept() {
    let mock = start().await;
    let before = std::time::Instant::now();
    ask(&mock, json!({}), None).await;
    let request = mock.last_request().unwrap();
    assert!(before <= request.arrived && request.arrived <= request.ended.unwrap());
    assert_eq!(request.ended.unwrap() - request.arrived, request.ended_after.unwrap());
}

#[tokio::test]
async fn an_empty_balance_refuses_until_it_is_topped_up() {
    let mock = start().await;
    mock.set_default("no-balance");
    assert_eq!(ask(&mock, json!({}), None).await.status, 402);
    mock.set_default("balance=10.00");
    assert_eq!(ask(&mock, json!({}), None).await.status, 200);
}

#[tokio::test]
async fn what_was_received_is_kept_as_it_was() {
    let mock = start().await;
    let body = chat(json!({"unknown_field": {"b": 1, "a": [2]}}));
    post(&mock, "/v1/chat/completions?x=1", &body, None).await;
    let request = mock.last_request().unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/chat/completions?x=1"));
    assert_eq!((request.body.as_ref(), request.header("host")), (body.to_string().as_bytes(), Some("mock")));
    assert_eq!((request.key.as_deref(), request.model.as_deref()), (Some(KEY), Some("deepseek-v4-pro")));
    let stats = mock.stats();
    assert_eq!((stats.endpoint("chat"), stats.status(200), stats.by_key[KEY]), (1, 1, 1));
    assert_eq!((stats.completed, stats.in_flight, stats.connections), (1, 0, 1));
}

#[tokio::test]
async fn the_oldest_requests_make_room() {
    let mock = Mock::start(Options { record_limit: 2, ..Options::default() }).await.unwrap();
    for _ in 0..3 {
        ask(&mock, json!({}), None).await;
    }
    assert_eq!(mock.requests().iter().map(|request| request.id).collect::<Vec<_>>(), [2, 3]);
    assert!(mock.requests().iter().all(|request| request.status.is_some()));
    let quiet = Mock::start(Options { record: false, ..Options::default() }).await.unwrap();
    ask(&quiet, json!({}), None).await;
    assert_eq!((quiet.requests().len(), quiet.stats().requests), (0, 1));
}

#[tokio::test]
async fn a_wait_that_is_not_fulfilled_says_what_was_counted() {
    let mock = start().await;
    let error =
        mock.wait_for(|stats| stats.requests == 1, std::time::Duration::from_millis(1)).await.unwrap_err();
    assert!(error.to_string().contains("requests: 0"), "{error}");
}

async fn admin(mock: &Mock, method: &str, path: &str, body: &str) -> support::Answer {
    let mut client = Client::to(mock).await;
    client.send(method, path, &[], body.as_bytes()).await.unwrap();
    client.answer().await
}

#[tokio::test]
async fn scenarios_are_set_and_requests_seen_over_http_without_showing_keys() {
    let mock = start().await;
    let set =
        admin(&mock, "POST", "/__mock/scenario", r#"{"scenario": "overloaded", "model": "deepseek-v4-pro"}"#)
            .await;
    assert_eq!(set.status, 200);
    assert_eq!(ask(&mock, json!({}), None).await.status, 503);
    let set =
        admin(&mock, "POST", "/__mock/scenario", r#"{"scenario": {"status": 418}, "key": "sk-test-0123"}"#)
            .await;
    assert_eq!(set.json()[2]["scenario"]["status"], 418);
    assert_eq!(ask(&mock, json!({}), None).await.status, 418);
    let requests = admin(&mock, "GET", "/__mock/requests?limit=1", "").await;
    assert_eq!((requests.json().as_array().unwrap().len(), &requests.json()[0]["status"]), (1, &json!(418)));
    let stats = admin(&mock, "GET", "/__mock/stats", "").await;
    assert_eq!((&stats.json()["requests"], &stats.json()["by_key"]["****0123"]), (&json!(2), &json!(2)));
    for shown in [requests, stats, set] {
        assert!(!shown.text().contains(KEY), "{}", shown.text());
    }
    admin(&mock, "POST", "/__mock/scenario", r#"{"key": "sk-test-0123"}"#).await;
    assert_eq!(ask(&mock, json!({}), None).await.status, 503);
    assert_eq!(admin(&mock, "POST", "/__mock/reset", "").await.status, 200);
    assert_eq!((ask(&mock, json!({}), None).await.status, mock.stats().requests), (200, 1));
    let set = admin(&mock, "POST", "/__mock/account", r#"{"balance": "0.00", "concurrency": 3}"#).await;
    assert_eq!(set.json()["default"]["concurrency"], 3);
    assert_eq!(ask(&mock, json!({}), None).await.status, 402);
    assert_eq!(admin(&mock, "POST", "/__mock/account", r#"{"balanse": "0.00"}"#).await.status, 400);
    assert_eq!(admin(&mock, "GET", "/__mock/accounts", "").await.json()["default"]["balance"], "0.00");
    let wrong = admin(&mock, "POST", "/__mock/scenario", r#"{"scenario": "nope"}"#).await;
    assert!(wrong.status == 400 && wrong.text().contains("no preset `nope`"));
    assert!(admin(&mock, "GET", "/__mock/scenarios", "").await.text().contains("keep-alive-forever"));
    assert_eq!(admin(&mock, "GET", "/__mock/health", "").await.json()["name"], "a");
    assert_eq!(admin(&mock, "GET", "/__mock/nope", "").await.status, 404);
}

#[tokio::test]
async fn an_admin_port_of_its_own_outlives_faults_and_kills_and_answers_nothing_else() {
    let admin = Some(([127, 0, 0, 1], 0).into());
    let mock = Mock::start(Options { admin, ..Options::default() }).await.unwrap();
    mock.set_default("accept-reset");
    mock.kill().await.unwrap();
    let mut client = Client::connect(mock.admin_addr().unwrap()).await;
    client.send("POST", "/__mock/scenario", &[], b"{}").await.unwrap();
    assert_eq!(client.answer().await.status, 200);
    client.forget();
    client.send("GET", "/models", &[("Authorization", "Bearer sk-any")], b"").await.unwrap();
    assert_eq!(client.answer().await.status, 404);
    mock.restart().await.unwrap();
    assert_eq!(ask(&mock, json!({}), None).await.status, 200);
}
