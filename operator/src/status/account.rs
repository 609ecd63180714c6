//! What a `DeepSeekBackend`'s status says of its account: balance, condition `Funded`, learned limits, refused keys. Pure.

use super::facts::Facts;
use deepseek_config::compile::Finding;
use deepseek_crds::conditions::{ConditionType, Reason};
use deepseek_crds::v1alpha1::{DeepSeekBackendStatus, ModelConcurrency};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::time::Duration;

/// How long the time of a balance that stays the same may be behind.
const REFRESH: Duration = Duration::from_mins(10);

/// What the API server takes, whatever a pod reports.
const LONGEST_BALANCE: usize = 64;
const LONGEST_MODEL: usize = 256;
const MOST_MODELS: usize = 64;
const HIGHEST_LIMIT: u64 = 1_000_000;
const MOST_KEYS: u32 = 32;

/// The status that follows `old`.
pub fn status(
    old: &DeepSeekBackendStatus,
    facts: &Facts,
    conditions: Vec<Condition>,
) -> DeepSeekBackendStatus {
    let account = &facts.account;
    let (balance, balance_time) = balance(old, facts).unzip();
    let learned = account.learned.iter().filter(|(model, _)| (1..=LONGEST_MODEL).contains(&model.len()));
    let limit = |limit: u64| i32::try_from(limit.clamp(1, HIGHEST_LIMIT)).unwrap_or(i32::MAX);
    DeepSeekBackendStatus {
        observed_generation: Some(facts.generation),
        routes: Some(facts.routes),
        state: account.state,
        balance,
        balance_time: balance_time.flatten(),
        learned_concurrency: learned
            .take(MOST_MODELS)
            .map(|(model, n)| ModelConcurrency { model: model.clone(), limit: limit(*n) })
            .collect(),
        refused_keys: i32::try_from(account.refused_keys.min(MOST_KEYS)).ok().filter(|refused| *refused > 0),
        conditions,
    }
}

/// The balance and when it was told; what was there before as long as no pod has been told since: another is taking over.
fn balance(old: &DeepSeekBackendStatus, facts: &Facts) -> Option<(String, Option<Time>)> {
    let before = || old.balance.clone().map(|balance| (balance, old.balance_time.clone()));
    let Some(told) = &facts.account.balance else { return before().filter(|_| facts.watched) };
    let text = format!("{} {}", told.total, told.currency);
    if told.total.is_empty() || text.len() > LONGEST_BALANCE {
        return None;
    }
    let at = told.at.parse::<Timestamp>().ok();
    let known = old.balance_time.as_ref().filter(|_| old.balance.as_ref() == Some(&text));
    let is_fresh = |known: &Time| at.is_some_and(|at| at.duration_since(known.0).unsigned_abs() < REFRESH);
    Some((text, known.cloned().filter(is_fresh).or(at.map(Time))))
}

/// What condition `Funded` says; `None` where nothing is known.
pub fn funded(old: &[Condition], facts: &Facts) -> Option<Finding> {
    let finding = |ok, reason, message: &str| Some(Finding { ok, reason, message: message.to_owned() });
    let account = &facts.account;
    if account.parked || facts.denied {
        let message =
            "The account is out of balance, so it is not called. Top it up; nothing needs a restart.";
        return finding(false, Reason::OutOfBalance, message);
    }
    match &account.balance {
        Some(told) if told.low => finding(
            false,
            Reason::LowBalance,
            "The balance is below spec.balance.low; calls go on. Top the account up before it runs out.",
        ),
        Some(_) => finding(true, Reason::Funded, "The account has balance."),
        None if facts.watched => {
            let known = old.iter().find(|condition| condition.type_ == ConditionType::Funded.as_str())?;
            let reason =
                [Reason::Funded, Reason::LowBalance].iter().find(|reason| reason.as_str() == known.reason)?;
            finding(known.status == "True", *reason, &known.message)
        }
        None => None,
    }
}

/// Whether `new` differs from `old` in money and learned limits alone: figures that move with every call.
pub fn only_money_moved(old: &DeepSeekBackendStatus, new: &DeepSeekBackendStatus) -> bool {
    let moved = DeepSeekBackendStatus {
        balance: new.balance.clone(),
        balance_time: new.balance_time.clone(),
        learned_concurrency: new.learned_concurrency.clone(),
        ..old.clone()
    };
    moved == *new && old.balance.is_some() == new.balance.is_some()
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
