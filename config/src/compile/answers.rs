//! `spec.cache` and `spec.keepAlive`: kept answers, and signs of life.

use super::cx::Cx;
use super::duration::human;
use crate::{defaults, document};
use deepseek_crds::v1alpha1::{Cache, KeepAlive};

/// More often, and a client would get little but comments.
const MIN_KEEP_ALIVE_MS: u64 = 1_000;

pub(super) fn cache(cx: &mut Cx<'_>, spec: Option<&Cache>) -> Option<document::Cache> {
    let spec = spec?;
    let ttl = cx.duration("spec.cache.ttl", spec.ttl.as_ref());
    Some(document::Cache {
        ttl_ms: ttl.unwrap_or(defaults::CACHE_TTL_MS),
        scope: spec.scope.unwrap_or_default(),
        merge: spec.merge.unwrap_or(defaults::CACHE_MERGE),
    })
}

pub(super) fn keep_alive(cx: &mut Cx<'_>, spec: Option<&KeepAlive>) -> document::KeepAlive {
    const PATH: &str = "spec.keepAlive.interval";
    let interval = cx.duration_or_zero(PATH, spec.and_then(|k| k.interval.as_ref()));
    if let Some(ms) = interval
        && ms < MIN_KEEP_ALIVE_MS
    {
        cx.invalid(
            PATH,
            format_args!("{} is too short. Use at least {}.", human(ms), human(MIN_KEEP_ALIVE_MS)),
        );
    }
    document::KeepAlive {
        interval_ms: interval.unwrap_or(defaults::KEEP_ALIVE_MS),
        blank_padding: spec.and_then(|k| k.blank_padding).unwrap_or(defaults::BLANK_PADDING),
    }
}
