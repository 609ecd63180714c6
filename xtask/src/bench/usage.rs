//! What a program and its children use, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// A program by its first process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program(pub(super) u32);

impl Program {
    /// Its processes: itself and its children (nginx has a master and a worker).
    fn processes(self) -> Vec<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.0);
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        [self.0].into_iter().chain(children).collect()
    }

    /// CPU time used so far, in user and kernel mode.
    pub(super) fn cpu(self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for pid in self.processes() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
                .with_context(|| format!("process {pid} is gone"))?;
            ticks += cpu_ticks(&stat).with_context(|| format!("no stat of process {pid}: {stat}"))?;
        }
        let second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs(ticks) / u32::try_from(second)?)
    }

    /// Resident memory in bytes, summed over its processes.
    pub(super) fn memory(self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for pid in self.processes() {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .with_context(|| format!("process {pid} is gone"))?;
            bytes += resident(&status).with_context(|| format!("no memory of process {pid}"))?;
        }
        Ok(bytes)
    }
}

/// `utime` and `stime`: the fields 14 and 15. The second field is a name that may have blanks in it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    Some(times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "12 (a b) c) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 7 8 20 0 4 0 100 1000 200";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    fn our_own_use_can_be_read() {
        let own = Program(std::process::id());
        assert!(own.memory().unwrap() > 100_000);
        own.cpu().unwrap();
    }
}
