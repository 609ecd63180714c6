//! Accounts: what pods say of them becomes status, one pod asks for balances, and its word goes to all.

use super::support::{GATEWAY, Room, SOON, secret};
use anyhow::{Context as _, Result, ensure};
use deepseek_config::document::{Backend, Body, Gateway, Kind};
use deepseek_config::report::{ADMIN_PORT, AccountReport, BackendReport, BalanceReport, Report};
use deepseek_crds::v1alpha1::{
    BackendState, DeepSeekBackend, DeepSeekBackendStatus, DeepSeekGateway, ModelConcurrency,
};
use deepseek_tests::kubernetes::eventually;
use deepseek_tests::operator::{FakePod, GatewayPod};
use mock_deepseek::{Mock, Options};
use std::collections::BTreeMap;

const KEY: &str = "sk-of-the-account-0123456789";

/// An account at `url` and a route that uses it.
fn account(url: &str) -> String {
    let backend = format!(
        "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekBackend
metadata: {{name: account}}
spec:
  baseUrl: '{url}'
  apiKeys: [{{secretRef: {{name: deepseek, key: key}}}}]
  balance: {{interval: 10s, low: '5.00'}}
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec: {{model: deepseek-flash, backends: [{{name: official, backendRef: {{name: account}}}}]}}
"
    );
    [&secret("deepseek", KEY), &backend as &str].concat()
}

/// A gateway with an account that two pods serve.
async fn served(room: &Room) -> [FakePod; 2] {
    room.apply(&[GATEWAY, &account("https://api.deepseek.com")].concat()).await;
    let pods = [
        FakePod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap(),
        FakePod::start(room.installation, &room.namespace, "gw", "gw-1").await.unwrap(),
    ];
    shared_by_two(room).await;
    room.condition::<DeepSeekBackend>("account", "Ready", "True", "Ready").await;
    pods
}

async fn shared_by_two(room: &Room) {
    eventually("both pods share the account", SOON, async || {
        let pods = gateway(room).await?.pods;
        ensure!(pods == 2, "{pods}");
        Ok(())
    })
    .await;
}

/// A balance, told so many seconds after some moment.
fn told(total: &str, second: u32) -> BalanceReport {
    BalanceReport {
        available: total != "0.00",
        total: total.to_owned(),
        currency: "CNY".to_owned(),
        low: total.starts_with("4."),
        at: format!("2026-01-02T03:04:{second:02}Z"),
    }
}

/// Lets `pod` say this of the account, and nothing else.
fn says(room: &Room, pod: &FakePod, change: impl FnOnce(&mut AccountReport)) {
    let mut account = AccountReport {
        backend: room.id(Kind::Backend, "account"),
        parked_since: None,
        balance: None,
        learned_concurrency: BTreeMap::new(),
        refused_keys: 0,
    };
    change(&mut account);
    pod.report(|report| report.accounts = vec![account]);
}

async fn status(room: &Room) -> Result<DeepSeekBackendStatus> {
    room.api::<DeepSeekBackend>().get("account").await?.status.context("no status")
}

async fn backend(room: &Room) -> Result<Backend> {
    let documents = room.documents("gw").await?;
    let document = documents.get(&room.id(Kind::Backend, "account")).context("no document")?;
    let Body::Backend(backend) = document.body.clone() else { anyhow::bail!("{document:?}") };
    Ok(backend)
}

async fn gateway(room: &Room) -> Result<Gateway> {
    let documents = room.documents("gw").await?;
    let document = documents.get(&room.id(Kind::Gateway, "gw")).context("no document")?;
    let Body::Gateway(gateway) = document.body.clone() else { anyhow::bail!("{document:?}") };
    Ok(gateway)
}

async fn poller_is(room: &Room, pod: &str) {
    eventually(&format!("{pod} is to ask for balances"), SOON, async || {
        let poller = gateway(room).await?.balance_poller;
        ensure!(poller.as_deref() == Some(pod), "{poller:?}");
        Ok(())
    })
    .await;
}

async fn denied(room: &Room, expected: bool) {
    eventually(&format!("denied to all pods: {expected}"), SOON, async || {
        ensure!(backend(room).await?.parked == expected);
        Ok(())
    })
    .await;
}

/// How often the operator has written the account's status.
fn status_writes(room: &Room) -> usize {
    let writes = room.installation.writes().unwrap().into_iter();
    let ours = writes.filter(|write| {
        write.namespace == room.namespace && write.resource == "deepseekbackends/status" && write.code < 300
    });
    ours.count()
}

#[tokio::test]
async fn what_pods_say_of_an_account_is_put_together_in_its_status() {
    let (room, _operator) = Room::with_operator("account").await;
    let pods = served(&room).await;
    let state = |state| BackendReport {
        route: room.id(Kind::Route, "chat"),
        name: "official".to_owned(),
        account: Some(room.id(Kind::Backend, "account")),
        state,
        reason: None,
        since: None,
    };
    says(&room, &pods[0], |account| {
        account.balance = Some(told("110.00", 20));
        account.learned_concurrency =
            BTreeMap::from([("deepseek-flash".to_owned(), 40), ("b".to_owned(), 9)]);
        account.refused_keys = 2;
    });
    pods[0].report(|report| report.backends = vec![state(BackendState::Healthy)]);
    says(&room, &pods[1], |account| {
        account.balance = Some(told("120.00", 10));
        account.learned_concurrency = BTreeMap::from([("deepseek-flash".to_owned(), 30)]);
        account.refused_keys = 1;
    });
    pods[1].report(|report| report.backends = vec![state(BackendState::Open)]);

    room.condition::<DeepSeekBackend>("account", "Funded", "True", "Funded").await;
    let limit = |model: &str, limit| ModelConcurrency { model: model.to_owned(), limit };
    eventually("the status has it all", SOON, async || {
        let status = status(&room).await?;
        ensure!(status.balance.as_deref() == Some("110.00 CNY"), "{status:?}");
        ensure!(
            status.learned_concurrency == [limit("b", 9), limit("deepseek-flash", 30)],
            "the lowest: {status:?}"
        );
        let told = status.balance_time.as_ref().context("no time")?;
        ensure!(told.0.to_string() == "2026-01-02T03:04:20Z", "{status:?}");
        ensure!(status.refused_keys == Some(2) && status.state == Some(BackendState::Open), "{status:?}");
        Ok(())
    })
    .await;
    let columns = ["get", "deepseekbackend", "account", "-n", &room.namespace];
    let columns = room.installation.kubectl(&columns).await.unwrap().ok().unwrap();
    assert!(columns.contains("BALANCE") && columns.contains("110.00 CNY"), "{columns}");

    says(&room, &pods[1], |account| account.balance = Some(told("4.99", 30)));
    let low = room.condition::<DeepSeekBackend>("account", "Funded", "False", "LowBalance").await;
    assert!(low.message.contains("spec.balance.low"), "{low:?}");
    let events = ["get", "events.events.k8s.io", "-n", &room.namespace, "-o", "jsonpath={.items[*].reason}"];
    eventually("an Event tells that the balance is low", SOON, async || {
        let reasons = room.installation.kubectl(&events).await?.ok()?;
        ensure!(reasons.split(' ').any(|reason| reason == "LowBalance"), "{reasons}");
        Ok(())
    })
    .await;
    assert_eq!(status(&room).await.unwrap().balance.as_deref(), Some("4.99 CNY"), "the newest word");
    room.condition::<DeepSeekBackend>("account", "Ready", "True", "Ready").await;
    let all = room.api::<DeepSeekBackend>().get("account").await.unwrap();
    let all = serde_json::to_string(&all).unwrap();
    assert!(!all.contains(KEY), "a key is in the resource");
}

#[tokio::test]
async fn an_account_out_of_balance_is_denied_to_every_pod_until_the_one_that_asks_was_told_otherwise() {
    let (room, operator) = Room::with_operator("parked").await;
    let pods = served(&room).await;
    let since = || Some("2026-01-02T03:04:05Z".to_owned());

    // Its own balance does not explain the 402: this pod tries again by itself, others go on.
    says(&room, &pods[0], |account| account.balance = Some(told("20.00", 10)));
    says(&room, &pods[1], |account| account.parked_since = since());
    room.condition::<DeepSeekBackend>("account", "Funded", "False", "OutOfBalance").await;
    room.condition::<DeepSeekBackend>("account", "Ready", "False", "OutOfBalance").await;
    assert!(!backend(&room).await.unwrap().parked);

    says(&room, &pods[0], |account| {
        account.balance = Some(told("0.00", 20));
        account.parked_since = since();
    });
    denied(&room, true).await;

    // Neither a pod that knows nothing yet nor a new operator lets calls through.
    drop(operator);
    says(&room, &pods[0], |_| {});
    says(&room, &pods[1], |_| {});
    let before = room.versions().await;
    let _operator = room.operator().await;
    room.patch("deepseekbackend/account", r#"{"spec": {"balance": {"low": "6.00"}}}"#).await;
    room.condition::<DeepSeekBackend>("account", "Programmed", "True", "Programmed").await;
    room.condition::<DeepSeekBackend>("account", "Funded", "False", "OutOfBalance").await;
    assert!(backend(&room).await.unwrap().parked);
    let after = room.versions().await;
    let rewritten = before.iter().filter(|(name, version)| after.get(*name) != Some(version)).count();
    assert_eq!(rewritten, 1, "the account's document alone: {before:?} {after:?}");

    says(&room, &pods[1], |account| account.balance = Some(told("20.00", 30)));
    denied(&room, false).await;
    room.condition::<DeepSeekBackend>("account", "Funded", "True", "Funded").await;
    room.condition::<DeepSeekBackend>("account", "Ready", "True", "Ready").await;
}

#[tokio::test]
async fn a_balance_that_moves_with_every_call_costs_no_write_each() {
    let (room, _operator) = Room::with_operator("cents").await;
    let pods = served(&room).await;
    says(&room, &pods[0], |account| account.balance = Some(told("110.00", 0)));
    room.condition::<DeepSeekBackend>("account", "Funded", "True", "Funded").await;
    let before = status_writes(&room);
    for cents in 1..40 {
        says(&room, &pods[0], |account| account.balance = Some(told(&format!("109.{cents:02}"), cents)));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // What somebody has to act on is written soon, with the balance of that moment.
    says(&room, &pods[0], |account| account.balance = Some(told("4.00", 50)));
    room.condition::<DeepSeekBackend>("account", "Funded", "False", "LowBalance").await;
    assert_eq!(status(&room).await.unwrap().balance.as_deref(), Some("4.00 CNY"));
    let writes = status_writes(&room) - before;
    assert!(writes <= 2, "{writes} writes for 40 balances");
}

#[tokio::test]
async fn one_pod_asks_for_balances_and_another_takes_over_when_it_goes() {
    let (room, _operator) = Room::with_operator("poller").await;
    let mock = Mock::start(Options::named("a")).await.unwrap();
    mock.set_balance("42.50");
    let port = format!("listeners: [{{name: http, port: {}, protocol: HTTP}}]}}", room.free_port());
    let manifests = GATEWAY.replace("max: 3}}", &format!("max: 3}}, {port}"));
    room.apply(&[&manifests, &account(&mock.base_url()) as &str].concat()).await;
    let first = FakePod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap();
    poller_is(&room, "gw-0").await;
    let second = GatewayPod::start(room.installation, &room.namespace, "gw", "gw-1").await.unwrap();
    says(&room, &first, |account| account.balance = Some(told("7.00", 10)));
    room.condition::<DeepSeekBackend>("account", "Funded", "True", "Funded").await;
    shared_by_two(&room).await;
    room.condition::<DeepSeekGateway>("gw", "Programmed", "True", "Programmed").await;
    poller_is(&room, "gw-0").await;
    let url = format!("http://{}:{ADMIN_PORT}/status", second.address());
    let told = async || anyhow::Ok(reqwest::get(&url).await?.json::<Report>().await?.accounts);
    assert_eq!(told().await.unwrap(), [], "it was not to ask");
    assert_eq!(status(&room).await.unwrap().balance.as_deref(), Some("7.00 CNY"));

    mock.set_balance("0.00");
    says(&room, &first, |_| {});
    first.set_ready(false).await.unwrap();
    poller_is(&room, "gw-1").await;
    room.condition::<DeepSeekBackend>("account", "Funded", "False", "OutOfBalance").await;
    denied(&room, true).await;
    mock.set_balance("20.00");
    room.condition::<DeepSeekBackend>("account", "Funded", "True", "Funded").await;
    denied(&room, false).await;
    assert_eq!(status(&room).await.unwrap().balance.as_deref(), Some("20.00 CNY"));

    first.set_ready(true).await.unwrap();
    poller_is(&room, "gw-0").await;
    eventually("the other one asks no more", SOON, async || {
        let told = told().await?;
        ensure!(told.is_empty(), "{told:?}");
        Ok(())
    })
    .await;
    let kept = status(&room).await.unwrap();
    assert_eq!(kept.balance.as_deref(), Some("20.00 CNY"), "until the first one was told");
    first.delete().await.unwrap();
    poller_is(&room, "gw-1").await;
    assert_eq!(mock.stats().requests, 0, "no call that costs");
}

/// Each has the whole limit to share among its own pods and asks for itself; what any of them is told goes to both.
#[tokio::test]
async fn two_gateways_on_one_account_each_elect_a_pod_and_hear_of_each_others_balance() {
    let (room, _operator) = Room::with_operator("two-gateways").await;
    let other = GATEWAY.replace("{name: gw}", "{name: other}").replace("default: true, ", "");
    let route = "---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: other}
spec:
  gatewayRef: {name: other}
  model: deepseek-flash
  backends: [{name: official, backendRef: {name: account}}]
";
    let manifests = [GATEWAY, other.trim_start(), &account("https://api.deepseek.com"), route].concat();
    room.apply(&manifests).await;
    let one = FakePod::start(room.installation, &room.namespace, "gw", "gw-0").await.unwrap();
    let two = FakePod::start(room.installation, &room.namespace, "other", "other-0").await.unwrap();
    let documents = async |of: &str| {
        let documents = room.documents(of).await?;
        let gateway = documents.get(&room.id(Kind::Gateway, of)).context("no gateway")?.body.clone();
        let backend = documents.get(&room.id(Kind::Backend, "account")).context("no account")?.body.clone();
        let (Body::Gateway(gateway), Body::Backend(backend)) = (gateway, backend) else {
            anyhow::bail!("of another kind")
        };
        anyhow::Ok((gateway.balance_poller, gateway.pods, backend.parked))
    };
    let both = async |parked: bool| {
        eventually(&format!("both are told, parked: {parked}"), SOON, async || {
            let expected = |pod: &str| (Some(pod.to_owned()), 1, parked);
            let found = (documents("gw").await?, documents("other").await?);
            ensure!(found == (expected("gw-0"), expected("other-0")), "{found:?}");
            Ok(())
        })
        .await;
    };
    both(false).await;
    says(&room, &one, |account| {
        account.balance = Some(told("9.00", 10));
        account.learned_concurrency = BTreeMap::from([("deepseek-flash".to_owned(), 40)]);
        account.refused_keys = 1;
    });
    says(&room, &two, |account| {
        account.balance = Some(told("0.00", 20));
        account.parked_since = Some("2026-01-02T03:04:05Z".to_owned());
        account.learned_concurrency = BTreeMap::from([("deepseek-flash".to_owned(), 60)]);
    });
    both(true).await;
    room.condition::<DeepSeekBackend>("account", "Funded", "False", "OutOfBalance").await;
    let known = status(&room).await.unwrap();
    assert_eq!(known.balance.as_deref(), Some("0.00 CNY"), "the newest word of either");

    // What was learned is void with more money, and the key was replaced: neither stays in the status.
    says(&room, &one, |account| account.balance = Some(told("50.00", 30)));
    says(&room, &two, |account| account.balance = Some(told("50.00", 25)));
    both(false).await;
    eventually("nothing that is void is left", SOON, async || {
        let status = status(&room).await?;
        ensure!(status.learned_concurrency.is_empty() && status.refused_keys.is_none(), "{status:?}");
        ensure!(status.balance.as_deref() == Some("50.00 CNY"), "{status:?}");
        Ok(())
    })
    .await;
}
