//! `spec.timeouts`: each phase fits into the whole call.

use super::cx::Cx;
use super::duration::human;
use crate::{defaults, document};
use deepseek_crds::v1alpha1::Timeouts;

pub(super) fn compile(cx: &mut Cx<'_>, spec: Option<&Timeouts>) -> document::Timeouts {
    let mut field = |name: &'static str, value: fn(&Timeouts) -> Option<&_>| {
        cx.duration(format_args!("spec.timeouts.{name}"), spec.and_then(value))
    };
    let connect = field("connect", |t| t.connect.as_ref());
    let first_token = field("firstToken", |t| t.first_token.as_ref());
    let idle = field("idle", |t| t.idle.as_ref());
    let byte_idle = field("byteIdle", |t| t.byte_idle.as_ref());
    let answer = field("answer", |t| t.answer.as_ref());
    let request = field("request", |t| t.request.as_ref());
    let request_ms = request.unwrap_or(defaults::REQUEST_MS);
    // A phase that is left out bends to a short `request`; one that is written down must fit.
    let mut phase = |name: &str, value: Option<u64>, default: u64| match value {
        None => default.min(request_ms),
        Some(ms) => {
            if ms > request_ms {
                let by_default = if request.is_none() { " (its default)" } else { "" };
                cx.invalid(
                    format_args!("spec.timeouts.{name}"),
                    format_args!(
                        "{} is longer than the whole call may take, request: {}{by_default}. Lower \
                         {name}, or raise spec.timeouts.request.",
                        human(ms),
                        human(request_ms)
                    ),
                );
            }
            ms
        }
    };
    document::Timeouts {
        connect_ms: phase("connect", connect, defaults::CONNECT_MS),
        first_token_ms: phase("firstToken", first_token, defaults::FIRST_TOKEN_MS),
        last_first_token_ms: first_token.unwrap_or(defaults::LAST_FIRST_TOKEN_MS.min(request_ms)),
        idle_ms: phase("idle", idle, defaults::IDLE_MS),
        byte_idle_ms: phase("byteIdle", byte_idle, defaults::BYTE_IDLE_MS),
        answer_ms: phase("answer", answer, request_ms.div_ceil(2)),
        request_ms,
    }
}
