//! `spec.concurrency` of an account: calls in flight by model, and the queue before them.

use super::cx::Cx;
use crate::defaults;
use crate::document::Concurrency;
use deepseek_crds::v1alpha1::{AccountConcurrency, Flavor, ModelConcurrency};
use std::collections::{BTreeMap, BTreeSet};

const MAX_MODELS: usize = 64;
const MAX_LIMIT: i64 = 1_000_000;
const MAX_QUEUE: i64 = 100_000;

/// What an account of `flavor` takes, where nothing is said.
pub(super) fn by_default(flavor: Flavor) -> Concurrency {
    let models = match flavor {
        Flavor::DeepSeek => {
            defaults::DEEPSEEK_CONCURRENCY.map(|(model, limit)| (model.to_owned(), limit)).into()
        }
        _ => BTreeMap::new(),
    };
    Concurrency { models, other: None, queue: defaults::QUEUE, queue_timeout_ms: defaults::QUEUE_TIMEOUT_MS }
}

/// Compiles the limits written at `path`.
pub(super) fn compile(cx: &mut Cx<'_>, path: &str, flavor: Flavor, spec: &AccountConcurrency) -> Concurrency {
    let mut concurrency = by_default(flavor);
    concurrency.models.extend(models(cx, path, &spec.models));
    concurrency.other =
        spec.other.map(|limit| cx.number(format_args!("{path}.other"), Some(limit), 1..=MAX_LIMIT, 1));
    concurrency.queue = cx.number(format_args!("{path}.queue"), spec.queue, 0..=MAX_QUEUE, defaults::QUEUE);
    let timeout = cx.duration(format_args!("{path}.queueTimeout"), spec.queue_timeout.as_ref());
    concurrency.queue_timeout_ms = timeout.unwrap_or(defaults::QUEUE_TIMEOUT_MS);
    concurrency
}

fn models(cx: &mut Cx<'_>, path: &str, specs: &[ModelConcurrency]) -> Vec<(String, u64)> {
    if specs.len() > MAX_MODELS {
        cx.invalid(
            format_args!("{path}.models"),
            format_args!("{} models are too many. Use at most {MAX_MODELS}, and other.", specs.len()),
        );
    }
    let mut seen = BTreeSet::new();
    let mut limits = Vec::with_capacity(specs.len());
    for (i, spec) in specs.iter().enumerate() {
        let path = format!("{path}.models[{i}]");
        cx.backend_model(format_args!("{path}.model"), &spec.model);
        if !seen.insert(&spec.model) {
            cx.invalid(
                format_args!("{path}.model"),
                format_args!("{:?} has a limit already. Remove one of them.", spec.model),
            );
        }
        let limit = cx.number(format_args!("{path}.limit"), Some(spec.limit), 1..=MAX_LIMIT, 1);
        limits.push((spec.model.clone(), limit));
    }
    limits
}
