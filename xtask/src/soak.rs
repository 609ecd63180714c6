//! `cargo xtask soak`: the gateway under mixed faults for a long time.

use std::{process::Command, time::Duration};

use anyhow::Context as _;
use clap::Args;

use crate::cargo;

/// Keep a gateway under mixed faults; check each answer, that everything is given back, and that memory stays flat
///
/// Three fake DeepSeeks change their faults every few seconds; clients call, some leave midway, some read slowly. Each
/// call must get one whole right answer or one clear error. Exits with 1 if anything is wrong, and shows it.
#[derive(Args)]
pub(crate) struct Soak {
    /// How long: seconds, or a number with `s`, `m` or `h`
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = time)]
    time: Duration,
    /// What faults and calls are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Clients that call at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// The Cargo profile to build with; `dev` is built soonest
    #[arg(long, default_value = "release")]
    profile: String,
}

/// A duration in one unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let seconds = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    let positive = seconds.filter(|it| (1..=7 * 24 * 3600).contains(it));
    positive.map(Duration::from_secs).ok_or_else(|| "write 90, 90s, 30m or 8h; at most a week".to_owned())
}

impl Soak {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let programs = ["--bin", "soak", "--bin", "deepseek-gateway"];
        let built = cargo::build(&[&["--profile", &self.profile], &programs[..]].concat())
            .context("failed to build what is soaked")?;
        let mut soak = Command::new(cargo::program(&built, "soak")?);
        let arguments = [self.time.as_secs(), self.seed, u64::from(self.clients)];
        let status =
            soak.args(arguments.map(|it| it.to_string())).status().context("failed to start the soak")?;
        anyhow::ensure!(status.success(), "the soak found what must not be");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_unit_and_is_not_zero() {
        assert_eq!(time("90"), Ok(Duration::from_secs(90)));
        assert_eq!(time("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(time("8h"), Ok(Duration::from_hours(8)));
        for wrong in ["", "m", "0s", "1h30m", "-1", "9999h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
