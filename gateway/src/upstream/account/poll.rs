//! Asking providers for the balances of accounts: `GET /user/balance`, which is free. Never a call that costs.
//!
//! One pod of a gateway does it, the one the operator elected, and none until it has; a process that is no pod, and knows
//! of none that is elected, does it by itself. It goes over the account's own connections, and says nothing to circuit
//! breakers: that a balance cannot be asked for does not mean that calls would fail.

use super::balance::Balance;
use super::watch::{ANSWER_WITHIN, every};
use super::{Account, Settings};
use crate::pipeline::Context;
use crate::upstream::splice::SplicedBody;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often it is looked whose balance is to be asked for.
const LOOK: Duration = Duration::from_millis(250);
/// The largest answer that is read.
const LONGEST_ANSWER: usize = 64 << 10;

/// Asks for the balances of all accounts, as long as `pod` is the one to do so. Ends with the process.
pub async fn follow(context: Arc<Context>, pod: Option<String>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let elected = context.snapshot.load().settings.balance_poller.clone();
        let is_ours = elected == pod;
        for account in context.shared.accounts.all() {
            if is_ours {
                ask_if_due(account);
            } else {
                account.stop_watching();
            }
        }
    }
}

fn ask_if_due(account: Arc<Account>) {
    if let Some(settings) = account.balance_is_due() {
        tokio::spawn(async move {
            match tokio::time::timeout(ANSWER_WITHIN, ask(&account, &settings)).await {
                Ok(Ok(balance)) => account.balance_told(balance),
                Ok(Err(reason)) => account.balance_unknown(&reason),
                Err(_) => account.balance_unknown("it did not answer in time"),
            }
        });
    }
}

async fn ask(account: &Account, settings: &Settings) -> Result<Balance, String> {
    let uri = uri(&settings.base).ok_or("its base URL has no place for it")?;
    let mut request = Request::new(SplicedBody::default());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(key) = account.keys.any() {
        request.headers_mut().insert(settings.key_header.clone(), key.value().clone());
    }
    // What hyper says of it may name addresses, never headers.
    let response = settings.client.request(request).await.map_err(|error| error.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answered {}", response.status()));
    }
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|_| "its answer broke off or is too long")?.to_bytes();
    Balance::read(&body).ok_or_else(|| "its answer is not a balance".to_owned())
}

/// `/v1` and `/beta` are prefixes of single endpoints, not of the API.
fn uri(base: &Uri) -> Option<Uri> {
    let path = base.path().trim_end_matches('/');
    let path = ["/v1", "/beta"].iter().find_map(|prefix| path.strip_suffix(prefix)).unwrap_or(path);
    let uri = Uri::builder().scheme(base.scheme()?.clone()).authority(base.authority()?.clone());
    uri.path_and_query(format!("{path}/user/balance")).build().ok()
}

impl Account {
    /// The settings to ask by, when it is time to.
    fn balance_is_due(&self) -> Option<Arc<Settings>> {
        let settings = self.settings.load_full();
        let interval = Duration::from_millis(settings.document.balance.as_ref()?.interval_ms);
        let every = every(interval, self.parking.since().is_some());
        self.watch.is_due(every, Instant::now()).then_some(settings)
    }

    fn balance_unknown(&self, reason: &str) {
        let settings = self.settings.load();
        let Some(configured) = &settings.document.balance else { return };
        let interval = Duration::from_millis(configured.interval_ms);
        let every = every(interval, self.parking.since().is_some());
        let failures = self.watch.failed(every, Instant::now());
        if failures == 1 {
            tracing::warn!(account = %self.label, reason, "the account's balance cannot be asked for");
        } else {
            tracing::debug!(account = %self.label, reason, failures, "the account's balance cannot be asked for");
        }
    }

    fn stop_watching(&self) {
        if self.watch.stop() {
            self.changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balance_is_beside_the_api_however_the_base_url_ends() {
        for base in
            ["https://api.deepseek.com", "https://api.deepseek.com/v1", "https://api.deepseek.com/beta/"]
        {
            let uri = uri(&Uri::from_static(base)).expect("a URI");
            assert_eq!(uri, "https://api.deepseek.com/user/balance", "{base}");
        }
        let proxied = uri(&Uri::from_static("http://proxy:8080/deepseek/v1")).expect("a URI");
        assert_eq!(proxied, "http://proxy:8080/deepseek/user/balance");
    }
}
