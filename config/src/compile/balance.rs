//! `spec.balance` of an account: how it is watched, and from which amount on it is low.

use super::cx::Cx;
use super::duration::human;
use crate::defaults;
use crate::document::Balance;
use deepseek_crds::v1alpha1::{AccountBalance, Flavor};

/// Shorter, and the provider would rightly take it for abuse.
const MIN_INTERVAL_MS: u64 = 10_000;

/// How the balance of an account of `flavor` is watched, where nothing is said.
pub(super) fn by_default(flavor: Flavor) -> Option<Balance> {
    let watched = flavor == Flavor::DeepSeek;
    watched.then_some(Balance { interval_ms: defaults::BALANCE_INTERVAL_MS, low_micros: None })
}

/// Compiles what is said of the balance at `path`.
pub(super) fn compile(cx: &mut Cx<'_>, path: &str, flavor: Flavor, spec: &AccountBalance) -> Option<Balance> {
    let Some(mut balance) = by_default(flavor) else {
        cx.invalid(
            path,
            format_args!(
                "a server of flavor {flavor:?} does not tell its balance. Remove it, or use flavor DeepSeek."
            ),
        );
        return None;
    };
    let watched = spec.watch.unwrap_or(true);
    if !watched && (spec.interval.is_some() || spec.low.is_some()) {
        cx.invalid(path, "interval and low have no meaning with watch: false. Remove them, or remove watch.");
    }
    if let Some(ms) = cx.duration_or_zero(format_args!("{path}.interval"), spec.interval.as_ref()) {
        balance.interval_ms = ms;
        if ms < MIN_INTERVAL_MS {
            cx.invalid(
                format_args!("{path}.interval"),
                format_args!("{} is too short. Use at least {}.", human(ms), human(MIN_INTERVAL_MS)),
            );
        }
    }
    balance.low_micros = spec.low.as_deref().and_then(|text| {
        let micros = micros(text);
        if micros.is_none() {
            cx.invalid(
                format_args!("{path}.low"),
                format_args!(
                    "{text:?} is not an amount. Use up to 9 digits, and up to 6 more after a point, such \
                     as \"10.00\"."
                ),
            );
        }
        micros
    });
    watched.then_some(balance)
}

/// `10.5` is 10 500 000 millionths.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, part)) => (whole, part),
        None => (text, ""),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=9).contains(&whole.len()) || part.len() > 6 || !digits(whole) || !digits(part) {
        return None;
    }
    format!("{whole}{part:0<6}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_exact_and_anything_else_is_refused() {
        let good =
            [("0", 0), ("10", 10_000_000), ("10.00", 10_000_000), ("0.000001", 1), ("007.5", 7_500_000)];
        for (text, expected) in good {
            assert_eq!(micros(text), Some(expected), "{text:?}");
        }
        for bad in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "1.0000000", "1234567890", "١"]
        {
            assert_eq!(micros(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_definition_lets_through_is_an_amount(text in r"[0-9]{1,9}(\.[0-9]{1,6})?") {
            let micros = micros(&text).unwrap_or(u64::MAX);
            prop_assert!(micros < 1_000_000_000_000_000);
            let expected: f64 = text.parse().unwrap_or(f64::NAN);
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let found = micros as f64 / 1e6;
            prop_assert!((found - expected).abs() < 1e-6, "{} is not {}", found, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,16}|[0-9.]{0,20}") {
            let _ = micros(&text);
        }
    }
}
