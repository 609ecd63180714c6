//! `spec.limits` of a gateway: what a pod takes and holds.

use super::cx::Cx;
use crate::defaults;
use deepseek_crds::v1alpha1::GatewayLimits;

const GIB: i64 = 1 << 30;
const MIB: i64 = 1 << 20;

#[expect(clippy::struct_field_names, reason = "the names of the fields they are compiled from")]
pub(super) struct Limits {
    pub max_request_body_bytes: u64,
    pub max_in_flight: u64,
    pub max_buffered_bytes: u64,
    pub max_cache_bytes: u64,
}

/// Compiles the limits. A body has to fit into the memory for bodies: of the two, the one that is left out bends.
pub(super) fn compile(cx: &mut Cx<'_>, spec: Option<&GatewayLimits>) -> Limits {
    let mut field = |name: &str,
                     value: fn(&GatewayLimits) -> Option<i64>,
                     range: std::ops::RangeInclusive<i64>,
                     default| {
        cx.number(format_args!("spec.limits.{name}"), spec.and_then(value), range, default)
    };
    let body = field(
        "maxRequestBodyBytes",
        |l| l.max_request_body_bytes,
        1024..=GIB,
        defaults::MAX_REQUEST_BODY_BYTES,
    );
    let buffered =
        field("maxBufferedBytes", |l| l.max_buffered_bytes, MIB..=64 * GIB, defaults::MAX_BUFFERED_BYTES);
    let in_flight = field("maxInFlight", |l| l.max_in_flight, 1..=1_000_000, defaults::MAX_IN_FLIGHT);
    let cache = field("maxCacheBytes", |l| l.max_cache_bytes, 0..=64 * GIB, defaults::MAX_CACHE_BYTES);
    let written = spec.is_some_and(|l| l.max_request_body_bytes.is_some());
    if body > buffered && written && spec.is_some_and(|l| l.max_buffered_bytes.is_some()) {
        cx.invalid(
            "spec.limits.maxRequestBodyBytes",
            format_args!(
                "{body} is above maxBufferedBytes: {buffered}, so the largest bodies would never be taken. \
                 Lower maxRequestBodyBytes, or raise maxBufferedBytes."
            ),
        );
    }
    Limits {
        max_request_body_bytes: if written { body } else { body.min(buffered) },
        max_in_flight: in_flight,
        max_buffered_bytes: buffered.max(if written { body } else { 0 }),
        max_cache_bytes: cache,
    }
}
