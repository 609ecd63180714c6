//! Which cores the proxy gets, and which the others.

use std::{fs, path::Path, process::Command};

use anyhow::Context as _;

/// The cores of a measurement, in `taskset`'s notation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cores {
    /// One core for what is measured.
    pub(super) proxy: String,
    /// The others, for the load and the fake.
    pub(super) others: String,
}

impl Cores {
    /// The first core that this process may use is the proxy's.
    pub(super) fn choose() -> anyhow::Result<Self> {
        let status =
            fs::read_to_string("/proc/self/status").context("failed to read which cores there are")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Self::from_list(list.unwrap_or_default())
    }

    fn from_list(list: &str) -> anyhow::Result<Self> {
        let mut cores = Vec::new();
        for part in list.trim().split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number =
                |text: &str| text.parse::<usize>().with_context(|| format!("no core list: {list:?}"));
            cores.extend(number(from)?..=number(to)?);
        }
        let mut names = cores.iter().map(usize::to_string);
        let proxy = names.next().context("no core at all")?;
        let others = names.collect::<Vec<_>>().join(",");
        anyhow::ensure!(
            !others.is_empty(),
            "a measurement needs two cores: one for the proxy, one for the load"
        );
        Ok(Self { proxy, others })
    }
}

/// `program`, held to `cores`.
pub(super) fn pinned(cores: &str, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program.as_ref());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_core_is_the_proxys_and_the_rest_are_the_others() {
        let cores = Cores::from_list("\t0-2,5\n").unwrap();
        assert_eq!(cores, Cores { proxy: "0".into(), others: "1,2,5".into() });
    }

    #[test]
    fn one_core_is_not_enough() {
        assert!(Cores::from_list("3").unwrap_err().to_string().contains("two cores"));
    }
}
