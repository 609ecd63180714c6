use super::*;
use crate::upstream::account::balance::Amount;
use crate::upstream::client::Clients;
use deepseek_config::document::{Concurrency, Kind, ObjectId};
use deepseek_crds::v1alpha1::{Flavor, UserId};
use http::header;

pub(super) const MODEL: &str = "deepseek-flash";

pub(super) fn settings(limit: u64) -> Settings {
    // Another test of this process may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let concurrency = Concurrency {
        models: [(MODEL.to_owned(), limit)].into(),
        other: None,
        queue: 10,
        queue_timeout_ms: 1000,
    };
    let document = document::Backend {
        base_url: "http://localhost".to_owned(),
        flavor: Flavor::DeepSeek,
        api_keys: Vec::new(),
        ca: None,
        zone: None,
        concurrency,
        balance: Some(document::Balance { interval_ms: 60_000, low_micros: Some(5_000_000) }),
        user_id: UserId::Caller,
        parked: false,
    };
    Settings {
        document,
        pods: 1,
        base: Uri::from_static("http://localhost"),
        key_header: header::AUTHORIZATION,
        client: Clients::default().get(None, Duration::from_secs(1)).expect("a client"),
    }
}

fn keys(values: &[&'static str]) -> Vec<HeaderValue> {
    values.iter().copied().map(HeaderValue::from_static).collect()
}

pub(super) fn id() -> AccountId {
    AccountId::Resource(ObjectId::new(Kind::Backend, "default", "main"))
}

fn account() -> (Accounts, Arc<Account>, Arc<str>) {
    let accounts = Accounts::default();
    let account = accounts.configure(id(), settings(2), keys(&["a", "b"]));
    (accounts, account, Arc::from("default/team-a"))
}

pub(super) fn balance(micros: i64) -> Balance {
    let amount = Amount { text: micros.to_string(), micros, currency: "CNY".to_owned() };
    Balance { available: micros > 0, amount: Some(amount) }
}

fn limited(text: &str) -> AccountFailure<'_> {
    AccountFailure::RateLimited { retry_after: None, text }
}

#[tokio::test(start_paused = true)]
async fn a_402_closes_the_account_for_every_model_and_sends_away_who_waits() {
    let (accounts, account, tenant) = account();
    let slots = [account.try_enter(MODEL, &tenant), account.try_enter(MODEL, &tenant)];
    assert_eq!(account.standing(MODEL, &tenant), Standing::Full);
    let waiting = {
        let (account, tenant) = (Arc::clone(&account), Arc::clone(&tenant));
        tokio::spawn(
            async move { account.enter(MODEL, &tenant, Instant::now() + Duration::from_mins(1)).await },
        )
    };
    while account.models()[0].1.waiting == 0 {
        tokio::task::yield_now().await;
    }
    let (before, start) = (accounts.changes(), Instant::now());
    let [Some(slot), _] = &slots else { panic!("two places") };
    assert!(!slot.failed(&AccountFailure::OutOfBalance));
    let full = waiting.await.unwrap().err().expect("sent away");
    assert_eq!((full.retry_after, start.elapsed()), (Duration::from_secs(30), Duration::ZERO));
    assert_eq!(account.standing("another-model", &tenant), Standing::Parked(Duration::from_secs(30)));
    assert!(account.try_enter("another-model", &tenant).is_none());
    assert!(account.enter(MODEL, &tenant, start + Duration::from_mins(1)).await.is_err());
    assert!(account.report().expect("a report").parked_since.is_some());
    assert!(accounts.changes() > before);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_answered_opens_the_account_and_an_older_answer_does_not() {
    let (_, account, tenant) = account();
    let older = account.try_enter(MODEL, &tenant).expect("a place");
    older.failed(&AccountFailure::OutOfBalance);
    older.answered();
    tokio::time::advance(Duration::from_secs(30)).await;
    let trial = account.try_enter(MODEL, &tenant).expect("a trial");
    drop(older);
    assert!(account.try_enter(MODEL, &tenant).is_none(), "one trial an interval");
    assert_eq!(account.models()[0].1.in_flight, 1, "the place that was not used came back");
    trial.answered();
    assert!(account.try_enter(MODEL, &tenant).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_balance_parks_and_opens_the_account_and_is_reported() {
    let (accounts, account, tenant) = account();
    account.balance_told(balance(0));
    assert!(matches!(account.standing(MODEL, &tenant), Standing::Parked(_)));
    let told = account.report().and_then(|report| report.balance).expect("a balance");
    assert_eq!(
        (told.available, told.total.as_str(), told.currency.as_str(), told.low),
        (false, "0", "CNY", true)
    );
    let before = accounts.changes();
    account.balance_told(balance(0));
    assert_eq!(accounts.changes(), before, "nothing new");
    account.balance_told(balance(110_000_000));
    assert_eq!(account.standing(MODEL, &tenant), Standing::Ready);
    let report = account.report().expect("a report");
    assert_eq!(report.parked_since, None);
    assert!(!report.balance.expect("a balance").low);
}

#[tokio::test(start_paused = true)]
async fn a_429_teaches_the_limit_which_money_makes_void() {
    let (_, account, tenant) = account();
    account.balance_told(balance(1));
    let slots = [account.try_enter(MODEL, &tenant), account.try_enter(MODEL, &tenant)];
    let [Some(slot), _] = &slots else { panic!("two places") };
    slot.failed(&limited("which exceeds your concurrency limit of 1 based on your remaining balance"));
    let report = account.report().expect("a report");
    assert_eq!(report.learned_concurrency, [(MODEL.to_owned(), 1)].into());
    drop(slots);
    assert_eq!(account.standing(MODEL, &tenant), Standing::Full, "it cools down");
    assert_eq!(account.standing("another-model", &tenant), Standing::Ready);
    account.balance_told(balance(2));
    assert_eq!(account.report().expect("a report").learned_concurrency, [].into());
    assert_eq!(account.standing(MODEL, &tenant), Standing::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_429_of_one_user_is_that_tenants_alone() {
    let (_, account, tenant) = account();
    let slot = account.try_enter(MODEL, &tenant).expect("a place");
    let after = Some(Duration::from_secs(20));
    slot.failed(&AccountFailure::RateLimited { retry_after: after, text: "user_id x exceeds its limit" });
    assert_eq!(account.standing(MODEL, &tenant), Standing::Cooling(Duration::from_secs(20)));
    assert_eq!(account.standing(MODEL, "default/team-b"), Standing::Ready);
    assert_eq!(account.report(), None, "nothing is said of the account");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_leaves_the_others_until_none_is_left() {
    let (_, account, tenant) = account();
    let slot = account.try_enter(MODEL, &tenant).expect("a place");
    let (first, second) = (account.next_key().expect("a key"), account.next_key().expect("a key"));
    assert!(slot.failed(&AccountFailure::KeyRefused(&first)));
    assert!(!slot.failed(&AccountFailure::KeyRefused(&second)));
    assert_eq!(account.report().expect("a report").refused_keys, 2);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_is_known_and_a_new_key_starts_afresh() {
    let (accounts, account, tenant) = account();
    let slot = account.try_enter(MODEL, &tenant).expect("a place");
    slot.failed(&limited("concurrency limit of 1"));
    slot.failed(&AccountFailure::OutOfBalance);
    let again = accounts.configure(id(), settings(5), keys(&["a", "b"]));
    assert!(Arc::ptr_eq(&account, &again));
    assert!(account.parked_since().is_some());
    assert_eq!(account.models()[0].1.learned, Some(1));
    accounts.configure(id(), settings(5), keys(&["a", "c"]));
    assert_eq!(account.parked_since(), None);
    let figures = account.models()[0].1;
    assert_eq!((figures.learned, figures.limit, figures.in_flight), (None, Some(5), 1));
}

#[tokio::test(start_paused = true)]
async fn the_documents_word_parks_and_opens() {
    let (accounts, account, tenant) = account();
    let mut parked = settings(2);
    parked.document.parked = true;
    accounts.configure(id(), parked, keys(&["a", "b"]));
    assert!(matches!(account.standing(MODEL, &tenant), Standing::Parked(_)));
    assert_eq!(account.report(), None, "the operator does not hear its own word");
    accounts.configure(id(), settings(2), keys(&["a", "b"]));
    assert_eq!(account.standing(MODEL, &tenant), Standing::Ready);
}

#[test]
fn accounts_that_no_route_uses_are_dropped() {
    let (accounts, account, _) = account();
    accounts.keep(&[account.id()].into());
    assert_eq!(accounts.all().len(), 1);
    accounts.keep(&[].into());
    assert!(accounts.all().is_empty());
    let inline = AccountId::Inline(ObjectId::new(Kind::Route, "default", "chat"), "a".to_owned());
    assert_eq!((&*inline.label(), &**account.label()), ("default/chat/a", "default/main"));
}
