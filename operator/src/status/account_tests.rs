use super::*;
use crate::cluster::accounts::Account;
use crate::cluster::pods::Loaded;
use deepseek_config::compile::Verdict;
use deepseek_config::report::BalanceReport;
use deepseek_crds::conditions::condition;

fn time(text: &str) -> Time {
    Time(text.parse().expect("a time"))
}

fn told(total: &str, at: &str) -> BalanceReport {
    let (total, currency) = (total.to_owned(), "CNY".to_owned());
    BalanceReport { available: true, total, currency, low: false, at: at.to_owned() }
}

fn facts(balance: impl Into<Option<BalanceReport>>, watched: bool) -> Facts {
    let well = |reason| Finding { ok: true, reason, message: String::new() };
    Facts {
        generation: 1,
        verdict: Verdict { accepted: well(Reason::Accepted), resolved_refs: well(Reason::ResolvedRefs) },
        last_good: false,
        waits_for: None,
        blocked: None,
        gateways: Vec::new(),
        pods: Loaded::default(),
        routes: 1,
        backends: Vec::new(),
        traffic: None,
        workload: None,
        account: Account { balance: balance.into(), ..Account::default() },
        watched,
        denied: false,
    }
}

fn old() -> DeepSeekBackendStatus {
    DeepSeekBackendStatus {
        balance: Some("110.00 CNY".to_owned()),
        balance_time: Some(time("2026-01-02T03:00:00Z")),
        ..DeepSeekBackendStatus::default()
    }
}

fn shown(old: &DeepSeekBackendStatus, facts: &Facts) -> (Option<String>, Option<Time>) {
    let status = status(old, facts, Vec::new());
    (status.balance, status.balance_time)
}

#[test]
fn the_time_of_a_balance_that_stays_moves_every_ten_minutes_and_with_another_balance_at_once() {
    let same = facts(told("110.00", "2026-01-02T03:09:59Z"), true);
    assert_eq!(shown(&old(), &same).1, old().balance_time);
    let later = facts(told("110.00", "2026-01-02T03:10:00Z"), true);
    assert_eq!(shown(&old(), &later).1, Some(time("2026-01-02T03:10:00Z")));
    let less = facts(told("109.99", "2026-01-02T03:01:00Z"), true);
    let expected = (Some("109.99 CNY".to_owned()), Some(time("2026-01-02T03:01:00Z")));
    assert_eq!(shown(&old(), &less), expected);
}

#[test]
fn what_was_known_stays_while_another_pod_takes_over_and_goes_when_nobody_is_to_ask() {
    let old = old();
    let nobody_yet = facts(None, true);
    assert_eq!(shown(&old, &nobody_yet), (old.balance.clone(), old.balance_time.clone()));
    assert_eq!(shown(&old, &facts(None, false)), (None, None));

    let low =
        condition(ConditionType::Funded, false, Reason::LowBalance, "low", 1, time("2026-01-02T03:00:00Z"));
    let kept = funded(std::slice::from_ref(&low), &nobody_yet).map(|finding| finding.reason);
    assert_eq!(kept, Some(Reason::LowBalance));
    assert_eq!(funded(&[low], &facts(None, false)).map(|finding| finding.reason), None);
}

#[test]
fn an_account_is_out_of_balance_as_long_as_a_pod_says_so_or_every_pod_is_told_so() {
    let reason = |facts: &Facts| {
        let out = condition(
            ConditionType::Funded,
            false,
            Reason::OutOfBalance,
            "",
            1,
            time("2026-01-02T03:00:00Z"),
        );
        funded(&[out], facts).map(|finding| finding.reason)
    };
    let nobody_knows = facts(None, true);
    assert_eq!(reason(&nobody_knows), None, "neither: unknown until somebody was told");
    assert_eq!(reason(&Facts { denied: true, ..nobody_knows.clone() }), Some(Reason::OutOfBalance));
    let mut refused = nobody_knows;
    refused.account.parked = true;
    assert_eq!(reason(&refused), Some(Reason::OutOfBalance));
}

#[test]
fn a_pod_cannot_make_a_status_that_the_api_server_refuses() {
    let mut odd = facts(told(&"9".repeat(80), "soon"), true);
    odd.account.refused_keys = u32::MAX;
    odd.account.learned = (0..100).map(|n| (format!("m{n:03}"), u64::MAX * (n % 2))).collect();
    odd.account.learned.insert("x".repeat(300), 1);
    let status = status(&DeepSeekBackendStatus::default(), &odd, Vec::new());
    assert_eq!((status.balance, status.balance_time, status.refused_keys), (None, None, Some(32)));
    assert_eq!(status.learned_concurrency.len(), 64);
    assert!(status.learned_concurrency.iter().all(|model| [1, 1_000_000].contains(&model.limit)));
}

#[test]
fn only_figures_of_money_may_wait() {
    let new = DeepSeekBackendStatus { balance: Some("109.99 CNY".to_owned()), ..old() };
    assert!(only_money_moved(&old(), &new));
    assert!(!only_money_moved(&old(), &DeepSeekBackendStatus { refused_keys: Some(1), ..new.clone() }));
    assert!(!only_money_moved(&old(), &DeepSeekBackendStatus { balance: None, ..old() }));
    assert!(!only_money_moved(&DeepSeekBackendStatus::default(), &new), "the first word is written at once");
}
