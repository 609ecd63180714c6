//! What `GET /user/balance` says. Amounts are decimal strings and stay so; they are compared in millionths, not in floats.

use serde::Deserialize;
use std::borrow::Cow;

/// The longest amount that is taken for one.
const LONGEST: usize = 32;
/// Digits of a millionth.
const DECIMALS: usize = 6;

/// What a provider says of an account's balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Whether it takes calls.
    pub available: bool,
    /// What is there; absent when it names no amount.
    pub amount: Option<Amount>,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// As the provider writes it.
    pub text: String,
    /// In millionths.
    pub micros: i64,
    /// Three letters, such as `CNY`.
    pub currency: String,
}

#[derive(Deserialize)]
struct Body<'a> {
    is_available: bool,
    #[serde(borrow, default)]
    balance_infos: Vec<Info<'a>>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    currency: Cow<'a, str>,
    #[serde(borrow)]
    total_balance: Cow<'a, str>,
}

impl Balance {
    /// Reads an answer; `None` if it is none.
    ///
    /// An account has one currency; providers that list several (DeepSeek: CNY and USD) list the ones it does not use at
    /// zero. So the largest amount is the account's. Whether calls are taken is the provider's own word, whatever the
    /// amounts.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let body: Body<'_> = serde_json::from_slice(body).ok()?;
        let amounts: Option<Vec<Amount>> = body.balance_infos.into_iter().map(Amount::read).collect();
        let amount = amounts?.into_iter().max_by_key(|amount| amount.micros);
        Some(Self { available: body.is_available, amount })
    }

    /// Whether it is below `low`, in millionths.
    #[must_use]
    pub fn is_low(&self, low: Option<u64>) -> bool {
        let (Some(low), Some(amount)) = (low, &self.amount) else { return false };
        u64::try_from(amount.micros).unwrap_or_default() < low
    }

    /// Whether there is more in it than in `before`.
    #[must_use]
    pub fn is_more_than(&self, before: &Self) -> bool {
        match (&self.amount, &before.amount) {
            (Some(now), Some(before)) => now.currency == before.currency && now.micros > before.micros,
            _ => false,
        }
    }
}

impl Amount {
    fn read(info: Info<'_>) -> Option<Self> {
        let micros = micros(&info.total_balance)?;
        let is_code = info.currency.len() == 3 && info.currency.bytes().all(|b| b.is_ascii_uppercase());
        is_code.then(|| Self {
            text: info.total_balance.into_owned(),
            micros,
            currency: info.currency.into_owned(),
        })
    }
}

/// A decimal number in millionths; what is finer is cut off.
fn micros(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = text.len() <= LONGEST
        && !whole.is_empty()
        && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !is_number {
        return None;
    }
    let fraction = format!("{fraction:0<DECIMALS$.DECIMALS$}");
    let (whole, fraction): (i64, i64) = (whole.parse().ok()?, fraction.parse().ok()?);
    whole.checked_mul(1_000_000)?.checked_add(fraction).map(|micros| sign * micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(infos: &[(&str, &str)]) -> Option<Balance> {
        let infos: Vec<_> = infos
            .iter()
            .map(|(currency, total)| serde_json::json!({"currency": currency, "total_balance": total, "granted_balance": "10.00"}))
            .collect();
        let body = serde_json::json!({"is_available": true, "balance_infos": infos});
        Balance::read(body.to_string().as_bytes())
    }

    #[test]
    fn an_amount_keeps_its_text_and_is_compared_to_the_cent() {
        let told = balance(&[("CNY", "110.00")]).expect("a balance");
        let amount = told.amount.clone().expect("an amount");
        assert_eq!((amount.text.as_str(), amount.micros), ("110.00", 110_000_000));
        assert!(told.is_low(Some(110_000_001)));
        assert!(!told.is_low(Some(110_000_000)));
        assert!(!told.is_low(None));
        assert!(balance(&[("CNY", "110.01")]).expect("a balance").is_more_than(&told));
        assert!(!balance(&[("USD", "500.00")]).expect("a balance").is_more_than(&told), "another currency");
    }

    #[test]
    fn decimals_become_millionths_without_a_float() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.1", Some(100_000)),
            ("12.3456789", Some(12_345_678)),
            ("-0.25", Some(-250_000)),
            ("9007199254.740993", Some(9_007_199_254_740_993)),
            ("", None),
            (".5", None),
            ("1e9", None),
            ("+1", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }

    #[test]
    fn of_several_currencies_the_largest_amount_is_the_accounts() {
        let told = balance(&[("CNY", "0.00"), ("USD", "7.50")]).and_then(|told| told.amount);
        assert_eq!(told.map(|amount| amount.currency), Some("USD".to_owned()));
        assert_eq!(balance(&[]), Some(Balance { available: true, amount: None }));
    }

    #[test]
    fn an_overdrawn_account_is_low() {
        assert!(balance(&[("USD", "-0.25")]).expect("a balance").is_low(Some(1)));
    }

    #[test]
    fn what_is_no_balance_is_not_taken_for_one() {
        for body in ["", "<html>", "[]", "{}", r#"{"is_available":"yes"}"#] {
            assert_eq!(Balance::read(body.as_bytes()), None, "{body}");
        }
        assert_eq!(balance(&[("CNY", "much")]), None);
        assert_eq!(balance(&[("renminbi", "1.00")]), None);
    }
}
