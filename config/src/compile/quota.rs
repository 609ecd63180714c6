//! `spec.quota`: limits and their windows.

use super::cx::Cx;
use crate::defaults;
use crate::document::{Limit, Quota, Rate, Window, WindowUnit};
use deepseek_crds::v1alpha1::{self as api, QuotaMode, QuotaPer};
use jiff::tz::TimeZoneDatabase;
use std::sync::LazyLock;

const MAX_REQUESTS: i64 = 1_000_000_000_000;
const MAX_TOKENS: i64 = 1_000_000_000_000_000;
const MAX_CONCURRENT: i64 = 1_000_000;

/// Time zones as of this build: the same answer on every machine, and no file is read.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

pub(super) fn compile(cx: &mut Cx<'_>, specs: &[api::Quota]) -> Vec<Quota> {
    if specs.len() > 16 {
        cx.invalid("spec.quota", format_args!("{} limits are too many. Use at most 16.", specs.len()));
    }
    specs.iter().enumerate().filter_map(|(i, spec)| one(cx, &format!("spec.quota[{i}]"), spec)).collect()
}

fn one(cx: &mut Cx<'_>, path: &str, spec: &api::Quota) -> Option<Quota> {
    let limit = match (spec.requests, spec.tokens, spec.concurrent) {
        (Some(amount), None, None) => Limit::Requests(Rate {
            amount: cx.number(format_args!("{path}.requests"), Some(amount), 1..=MAX_REQUESTS, 1),
            window: window(cx, path, spec)?,
        }),
        (None, Some(amount), None) => Limit::Tokens(Rate {
            amount: cx.number(format_args!("{path}.tokens"), Some(amount), 1..=MAX_TOKENS, 1),
            window: window(cx, path, spec)?,
        }),
        (None, None, Some(amount)) => {
            if spec.window.is_some() || spec.time_zone.is_some() {
                cx.invalid(
                    path,
                    "concurrent counts requests in flight and has no window. Remove window and timeZone.",
                );
            }
            Limit::Concurrent(cx.number(
                format_args!("{path}.concurrent"),
                Some(amount),
                1..=MAX_CONCURRENT,
                1,
            ))
        }
        (None, None, None) => {
            cx.invalid(path, "says no limit. Set one of requests, tokens and concurrent.");
            return None;
        }
        _ => {
            cx.invalid(
                path,
                "holds several limits. Set only one of requests, tokens and concurrent, \
                 and make an entry for each.",
            );
            return None;
        }
    };
    let per = spec.per.unwrap_or(QuotaPer::Consumer);
    Some(Quota { per, limit, mode: spec.mode.unwrap_or(QuotaMode::Enforce) })
}

fn window(cx: &mut Cx<'_>, path: &str, spec: &api::Quota) -> Option<Window> {
    let Some(text) = &spec.window else {
        cx.invalid(path, "requests and tokens are counted per window. Set window, such as 1m, 1h or 1d.");
        return None;
    };
    let Some((count, unit)) = parse(&text.0) else {
        cx.invalid(
            format_args!("{path}.window"),
            format_args!(
                "{:?} is not a window. Use a whole number of s, m, h, d or mo, such as 30s, \
                 1m, 1h, 1d or 1mo.",
                text.0
            ),
        );
        return None;
    };
    let (longest, suffix) = match unit {
        WindowUnit::Second => (86_400, "s"),
        WindowUnit::Minute => (1_440, "m"),
        WindowUnit::Hour => (8_784, "h"),
        WindowUnit::Day => (366, "d"),
        WindowUnit::Month => (12, "mo"),
    };
    if count > longest {
        cx.invalid(
            format_args!("{path}.window"),
            format_args!("{:?} is too long. Use at most {longest}{suffix}, or a larger unit.", text.0),
        );
        return None;
    }
    let time_zone = time_zone(cx, path, spec, unit)?;
    Some(Window { count, unit, time_zone })
}

fn parse(text: &str) -> Option<(u32, WindowUnit)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &text[digits..] {
        "s" => WindowUnit::Second,
        "m" => WindowUnit::Minute,
        "h" => WindowUnit::Hour,
        "d" => WindowUnit::Day,
        "mo" => WindowUnit::Month,
        _ => return None,
    };
    let count = text[..digits].parse().ok().filter(|count| *count > 0)?;
    Some((count, unit))
}

fn time_zone(cx: &mut Cx<'_>, path: &str, spec: &api::Quota, unit: WindowUnit) -> Option<String> {
    let Some(name) = &spec.time_zone else { return Some(defaults::TIME_ZONE.to_owned()) };
    if !matches!(unit, WindowUnit::Day | WindowUnit::Month) {
        cx.invalid(
            format_args!("{path}.timeZone"),
            "only windows of days and months depend on a time zone. Remove it, or use a window in d or mo.",
        );
        return None;
    }
    if let Ok(zone) = ZONES.get(name) {
        Some(zone.iana_name().unwrap_or(name).to_owned())
    } else {
        cx.invalid(
            format_args!("{path}.timeZone"),
            format_args!(
                "{name:?} is not a known time zone. Use an IANA name such as Asia/Shanghai or \
                 UTC."
            ),
        );
        None
    }
}
