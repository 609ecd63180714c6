//! An account at a provider: URL, flavor, keys, trust. Written in a `DeepSeekBackend` or inline in a route.

use super::cx::Cx;
use super::secret::Use;
use super::url::base_url;
use crate::defaults;
use crate::document::{Backend, Balance, Concurrency};
use deepseek_crds::v1alpha1::{BackendTls, Flavor, SecretSource, UserId};
use std::collections::BTreeMap;

/// The fields of an account, wherever they stand.
pub(super) struct Account<'a> {
    pub base_url: &'a str,
    pub flavor: Option<Flavor>,
    /// Each with the path of its `secretRef`.
    pub api_keys: Vec<(String, &'a SecretSource)>,
    pub tls: Option<&'a BackendTls>,
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
    let flavor = account.flavor.unwrap_or_default();
    let models = match flavor {
        Flavor::DeepSeek => {
            defaults::DEEPSEEK_CONCURRENCY.map(|(model, limit)| (model.to_owned(), limit)).into()
        }
        _ => BTreeMap::new(),
    };
    let concurrency = Concurrency {
        models,
        other: None,
        queue: defaults::QUEUE,
        queue_timeout_ms: defaults::QUEUE_TIMEOUT_MS,
    };
    let balance = (flavor == Flavor::DeepSeek)
        .then_some(Balance { interval_ms: defaults::BALANCE_INTERVAL_MS, low_micros: None });
    Some(Backend {
        base_url: base_url?,
        flavor,
        api_keys,
        ca,
        zone: None,
        concurrency,
        balance,
        user_id: UserId::default(),
        parked: false,
    })
}
