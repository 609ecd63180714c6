//! The process as its metrics show it: build, start time, CPU, memory, file descriptors.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Clock ticks per second in `/proc`; the kernel's interface fixes it at 100.
const TICKS: f64 = 100.0;

/// Registers what is known of the process.
pub fn register(registry: &mut Registry) {
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("deepseek_gateway_build", "The gateway's build", build);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = ConstGauge::new(now.as_secs_f64());
    registry.register_with_unit("process_start_time", "When the process started", Unit::Seconds, start);
    registry.register_collector(Box::new(Process));
}

/// Reads `/proc/self` when scraped.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some((cpu, resident)) = usage() {
            let counter = ConstCounter::new(cpu);
            let help = "User and system time of the process.";
            let metric = encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&Unit::Seconds),
                counter.metric_type(),
            )?;
            counter.encode(metric)?;
            let gauge = ConstGauge::new(resident);
            let help = "Resident memory of the process.";
            let metric = encoder.encode_descriptor(
                "process_resident_memory",
                help,
                Some(&Unit::Bytes),
                gauge.metric_type(),
            )?;
            gauge.encode(metric)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let gauge = ConstGauge::new(i64::try_from(open.count()).unwrap_or(i64::MAX));
            let help = "Open file descriptors of the process.";
            let metric = encoder.encode_descriptor("process_open_fds", help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

/// CPU seconds and resident bytes.
fn usage() -> Option<(f64, i64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command, in parentheses, may hold spaces; what follows does not. utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let cpu = (ticks()? + ticks()?) / TICKS;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((cpu, kibibytes * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_the_build_and_the_memory() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let version = format!("deepseek_gateway_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&version), "{text}");
        for name in
            ["process_start_time_seconds ", "process_cpu_seconds_total ", "process_resident_memory_bytes "]
        {
            assert!(text.contains(name), "{name} is missing:\n{text}");
        }
        assert!(usage().unwrap().1 > 1 << 20);
    }
}
