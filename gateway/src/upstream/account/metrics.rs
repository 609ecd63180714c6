//! What metrics show of accounts, read off when they are scraped: nothing is counted with a call, and an account that is
//! gone leaves no series behind.
//!
//! Labels are closed: accounts are objects, a model is one that has a configured limit or `other`, a currency is one that
//! DeepSeek has accounts in or `other`.

use super::Account;
use super::lane::Figures;
use crate::snapshot::Shared;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Reads all accounts when it is scraped.
pub struct AccountMetrics(pub Arc<Shared>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct ModelLabels {
    account: Arc<str>,
    model: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct AccountLabels {
    account: Arc<str>,
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct BalanceLabels {
    account: Arc<str>,
    currency: &'static str,
}

impl fmt::Debug for AccountMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountMetrics")
    }
}

impl Collector for AccountMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let accounts = self.0.accounts.all();
        if accounts.is_empty() {
            return Ok(());
        }
        let models = by_model(&accounts);
        let of = |value: fn(&Figures) -> Option<u64>| {
            models.iter().filter_map(move |(labels, figures)| Some((labels.clone(), value(figures)?)))
        };
        let name = "deepseek_gateway_account_in_flight";
        gauge(&mut encoder, name, "Calls in flight at an account, by model", of(|f| Some(f.in_flight)))?;
        let name = "deepseek_gateway_account_waiting";
        gauge(
            &mut encoder,
            name,
            "Calls that wait for a place at an account, by model",
            of(|f| Some(f.waiting)),
        )?;
        let name = "deepseek_gateway_account_limit";
        let help = "Calls in flight that this pod may have at an account, by model: configured or learned";
        gauge(&mut encoder, name, help, of(|f| f.limit))?;
        let parked = accounts.iter().map(|account| {
            let labels = AccountLabels { account: Arc::clone(account.label()) };
            (labels, u64::from(account.parked_since().is_some()))
        });
        let name = "deepseek_gateway_account_parked";
        gauge(&mut encoder, name, "Whether an account is parked for want of balance", parked)?;
        let name = "deepseek_gateway_account_balance";
        let help = "Balance of an account, as the provider told this pod";
        gauge(&mut encoder, name, help, accounts.iter().filter_map(|account| balance(account)))
    }
}

fn gauge<L: EncodeLabelSet, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, V)>,
) -> Result<(), fmt::Error> {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        metric.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// The figures of each account and model, those of models without a limit of their own taken together.
fn by_model(accounts: &[Arc<Account>]) -> BTreeMap<ModelLabels, Figures> {
    let other: Arc<str> = Arc::from("other");
    let mut all: BTreeMap<ModelLabels, Figures> = BTreeMap::new();
    for account in accounts {
        let settings = account.settings();
        for (model, figures) in account.models() {
            let is_configured = settings.document.concurrency.models.contains_key(&*model);
            let model = if is_configured { model } else { Arc::clone(&other) };
            let labels = ModelLabels { account: Arc::clone(account.label()), model };
            all.entry(labels).and_modify(|sum| *sum = together(*sum, figures)).or_insert(figures);
        }
    }
    all
}

fn together(a: Figures, b: Figures) -> Figures {
    Figures {
        in_flight: a.in_flight + b.in_flight,
        limit: a.limit.zip(b.limit).map(|(a, b)| a.saturating_add(b)),
        learned: None,
        waiting: a.waiting + b.waiting,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; only shown, never compared")]
fn balance(account: &Account) -> Option<(BalanceLabels, f64)> {
    let amount = account.last_balance()?.balance.amount?;
    let currency = ["CNY", "USD"].into_iter().find(|known| *known == amount.currency).unwrap_or("other");
    let labels = BalanceLabels { account: Arc::clone(account.label()), currency };
    Some((labels, amount.micros as f64 / 1_000_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::metrics::Metrics;
    use crate::upstream::account::tests::{MODEL, balance, id, settings};
    use prometheus_client::registry::Registry;

    #[tokio::test]
    async fn models_without_a_limit_of_their_own_are_one_series_and_a_dropped_account_leaves_none() {
        let shared = Arc::new(Shared::new(Metrics::unregistered(), None));
        let account = shared.accounts.configure(id(), settings(2), Vec::new());
        let tenant = Arc::from("default/team-a");
        let _slots = [MODEL, "one-model", "another-model"].map(|model| account.try_enter(model, &tenant));
        account.balance_told(balance(110_250_000));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(AccountMetrics(Arc::clone(&shared))));
        let scrape = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let text = scrape();
        for line in [
            "deepseek_gateway_account_in_flight{account=\"default/main\",model=\"deepseek-flash\"} 1",
            "deepseek_gateway_account_in_flight{account=\"default/main\",model=\"other\"} 2",
            "deepseek_gateway_account_waiting{account=\"default/main\",model=\"other\"} 0",
            "deepseek_gateway_account_limit{account=\"default/main\",model=\"deepseek-flash\"} 2",
            "deepseek_gateway_account_parked{account=\"default/main\"} 0",
            "deepseek_gateway_account_balance{account=\"default/main\",currency=\"CNY\"} 110.25",
        ] {
            assert!(text.lines().any(|held| held == line), "no {line} in:\n{text}");
        }
        assert_eq!(text.matches("_account_limit{").count(), 1, "none where there is no limit");
        shared.accounts.keep(&[].into());
        assert!(!scrape().contains("deepseek_gateway_account"));
    }
}
