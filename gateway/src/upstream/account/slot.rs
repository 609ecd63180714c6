//! A call under way at an account: its place among the calls in flight, and how it turned out.

use super::Account;
use super::keys::Key;
use super::lane::Place;
use super::parking::Pass;
use super::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;

/// Leave to send one call, from before it is sent until its answer has ended. Dropping it frees its place, however the
/// call came to an end.
pub struct Slot {
    account: Arc<Account>,
    tenant: Arc<str>,
    pass: Pass,
    place: Place,
}

/// A failure that says something of the account.
pub enum AccountFailure<'a> {
    /// 401: the provider refused this key.
    KeyRefused(&'a Key),
    /// 402: the account is out of balance.
    OutOfBalance,
    /// 429.
    RateLimited {
        /// When the provider wants to be asked again.
        retry_after: Option<Duration>,
        /// What it said. It is read and never shown.
        text: &'a str,
    },
}

impl Slot {
    pub(super) fn new(account: Arc<Account>, tenant: Arc<str>, pass: Pass, place: Place) -> Self {
        Self { account, tenant, pass, place }
    }

    /// The call was answered: the account takes calls.
    pub fn answered(&self) {
        self.place.lane().answered();
        self.account.answered(self.pass);
    }

    /// The call failed in a way that says something of the account. Returns whether another of its keys may do.
    pub fn failed(&self, failure: &AccountFailure<'_>) -> bool {
        match failure {
            AccountFailure::KeyRefused(key) => self.account.key_refused(key),
            AccountFailure::OutOfBalance => {
                self.account.out_of_balance();
                false
            }
            AccountFailure::RateLimited { retry_after, text } => {
                let refusal = Refusal::read(text);
                let learned = self.place.lane().refused(&self.tenant, refusal, *retry_after);
                self.account.rate_limited(refusal, learned);
                false
            }
        }
    }
}
