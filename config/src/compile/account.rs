//! An account at a provider: URL, flavor, keys, trust. Written in a `DeepSeekBackend` or inline in a route.

use super::cx::Cx;
use super::secret::Use;
use super::url::base_url;
use super::{balance, concurrency, labels};
use crate::document::Backend;
use deepseek_crds::v1alpha1::{AccountBalance, AccountConcurrency, BackendTls, Flavor, SecretSource, UserId};

/// The fields of an account, wherever they stand; what cannot be said inline is left out there.
#[derive(Default)]
pub(super) struct Account<'a> {
    pub base_url: &'a str,
    pub flavor: Option<Flavor>,
    /// Each with the path of its `secretRef`.
    pub api_keys: Vec<(String, &'a SecretSource)>,
    pub tls: Option<&'a BackendTls>,
    pub zone: Option<&'a String>,
    pub concurrency: Option<&'a AccountConcurrency>,
    pub balance: Option<&'a AccountBalance>,
    pub user_id: Option<UserId>,
}

/// Compiles the account written at `path`.
pub(super) fn compile(cx: &mut Cx<'_>, path: &str, account: &Account<'_>) -> Option<Backend> {
    let base_url = match base_url(account.base_url) {
        Ok(url) => Some(url),
        Err(problem) => {
            cx.invalid(format_args!("{path}.baseUrl"), problem);
            None
        }
    };
    if account.tls.is_some() && account.base_url.starts_with("http://") {
        cx.invalid(
            format_args!("{path}.tls"),
            "tls needs an https baseUrl. Remove tls, or use https in baseUrl.",
        );
    }
    let mut api_keys = Vec::with_capacity(account.api_keys.len());
    for (path, source) in &account.api_keys {
        if let Some(key) = cx.project(path, &source.secret_ref, Use::ProviderKey)
            && !api_keys.contains(&key)
        {
            api_keys.push(key);
        }
    }
    let ca = account.tls.and_then(|tls| {
        cx.project(format_args!("{path}.tls.caSecretRef"), &tls.ca_secret_ref, Use::Certificates)
    });
    let zone = account.zone.cloned();
    if let Some(zone) = &zone
        && let Some(problem) = labels::set_value_problem(zone)
    {
        cx.invalid(
            format_args!("{path}.zone"),
            format_args!("{zone:?} is not a zone: {problem}. Correct it."),
        );
    }
    let flavor = account.flavor.unwrap_or_default();
    let concurrency = match account.concurrency {
        Some(spec) => concurrency::compile(cx, &format!("{path}.concurrency"), flavor, spec),
        None => concurrency::by_default(flavor),
    };
    let balance = match account.balance {
        Some(spec) => balance::compile(cx, &format!("{path}.balance"), flavor, spec),
        None => balance::by_default(flavor),
    };
    let user_id = account.user_id.unwrap_or_default();
    if user_id != UserId::Caller && flavor != Flavor::DeepSeek {
        cx.invalid(
            format_args!("{path}.userId"),
            format_args!(
                "a server of flavor {flavor:?} takes no user_id. Remove it, or use flavor DeepSeek."
            ),
        );
    }
    // An account that nobody watches would never be found to have its balance back.
    let parked = balance.is_some() && cx.world.parked(cx.id);
    Some(Backend { base_url: base_url?, flavor, api_keys, ca, zone, concurrency, balance, user_id, parked })
}
