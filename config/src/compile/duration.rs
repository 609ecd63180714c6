//! Durations: the text of a field to milliseconds.

use super::cx::Cx;
use deepseek_crds::v1alpha1::DurationString;
use std::fmt::Display;

/// No duration of the API is longer: `24h`.
const MAX_MS: u64 = 24 * 3_600_000;

impl Cx<'_> {
    /// A duration above zero, in milliseconds.
    pub fn duration(&mut self, path: impl Display, value: Option<&DurationString>) -> Option<u64> {
        let ms = self.duration_or_zero(&path, value)?;
        if ms == 0 {
            self.invalid(path, "0 is no time at all. Use a duration above zero, or leave the field out.");
            return None;
        }
        Some(ms)
    }

    /// A duration, in milliseconds.
    pub fn duration_or_zero(&mut self, path: impl Display, value: Option<&DurationString>) -> Option<u64> {
        let text = value?;
        match text.parse().map(|duration| duration.as_millis()) {
            None => {
                self.invalid(
                    path,
                    format_args!(
                        "{:?} is not a duration. Use whole numbers of h, m, s \
                         and ms, such as 500ms, 30s or 1m30s.",
                        text.0
                    ),
                );
                None
            }
            Some(ms) => match u64::try_from(ms) {
                Ok(ms) if ms <= MAX_MS => Some(ms),
                _ => {
                    self.invalid(path, format_args!("{:?} is longer than a day. Use at most 24h.", text.0));
                    None
                }
            },
        }
    }
}

/// Writes milliseconds as a user would: `1500` is `1s500ms`.
pub(crate) fn human(ms: u64) -> String {
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "m"), (ms / 1000 % 60, "s"), (ms % 1000, "ms")];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_for_people_reads_back(ms in 0..=MAX_MS) {
            let text = human(ms);
            prop_assert_eq!(DurationString(text).parse().map(|d| d.as_millis()), Some(u128::from(ms)));
        }

        #[test]
        fn whatever_the_definition_lets_through_is_a_duration(text in "([0-9]{1,5}(h|m|s|ms)){1,4}") {
            prop_assert!(DurationString(text).parse().is_some());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,16}|[0-9hms.-]{0,40}") {
            let _ = DurationString(text).parse();
        }
    }
}
