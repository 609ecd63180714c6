//! `cargo xtask bench`: what the gateway costs, beside nginx, on this machine, in one run.
//!
//! `docs/performance.md` tells how to read the figures. No figure is a test.

mod cores;
mod load;
mod stack;
mod streams;
mod table;
mod usage;

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    cargo::{self, Executable},
    setup,
    tools::Progress,
};
use cores::Cores;
use load::{Kind, Load};
use stack::{Answers, Pace, Target};
use table::Row;

/// Measure the gateway beside nginx: CPU per request, requests per second, added latency, memory.
///
/// wrk puts load on a fake DeepSeek directly, through nginx as a plain reverse proxy, and through the gateway with keys,
/// access and quotas on. The proxy has one core for itself; wrk and the fake share the others, so that requests per
/// second are often theirs: CPU per request is the figure to go by. docs/performance.md says more.
#[derive(Args)]
pub(crate) struct Bench {
    /// Seconds of each measurement, after a second of warming up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections of the load; latency is measured with one as well
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = connections)]
    connections: usize,
    /// Slow streams that are open at once while memory is measured
    #[arg(long, value_name = "N", default_value_t = 1000)]
    streams: usize,
    /// Measure nothing but memory while clients read 1 KB/s each of streams that the backend sends as fast as it can, for 20 s
    #[arg(long)]
    slow_readers: bool,
    /// The Cargo profile to build with; `release` is what is shipped, and takes minutes to build
    #[arg(long, default_value = "bench-fast")]
    profile: String,
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|it| (1..=10_000).contains(it)).ok_or_else(|| "1 to 10000".to_owned())
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { seconds, connections, streams, slow_readers, profile } = self;
        setup::prepare_for_bench()?;
        let progress = Progress::start("bench");
        progress.say(&format!("building the gateway and the fake (profile {profile})"));
        let built =
            cargo::build(&["--profile", &profile, "--bin", "deepseek-gateway", "--bin", "mock-deepseek"])?;
        let cores = Cores::choose()?;
        allow_files(streams)?;
        let folder = tempfile::Builder::new().prefix("deepseek-bench-").tempdir()?;
        let load = Load { cores: &cores, time: Duration::from_secs(seconds) };

        println!("{}", machine());
        println!(
            "proxy on core {}, wrk and the fake on core {}; profile {profile}",
            cores.proxy, cores.others
        );
        if slow_readers {
            progress.say(&format!("{streams} slow readers"));
            let fake = stack::fake(&built, &cores, folder.path(), Pace::Fast)?;
            let targets = with_proxies(&built, &cores, folder.path(), fake)?;
            let title =
                format!("{streams} clients that read 1 KB/s each for {} s, a fast backend", SLOWLY.as_secs());
            table::print_slow_readers(&title, &starve(&targets, streams)?);
            return Ok(());
        }
        let fake = stack::fake(&built, &cores, folder.path(), Pace::Prepared)?;
        let mut targets = with_proxies(&built, &cores, folder.path(), fake)?;
        // The last one asks the fake once for each kind.
        targets.push(stack::gateway(&built, &cores, folder.path(), &targets[0], Answers::Kept)?);
        for (kind, what) in [(Kind::Whole, "whole answers"), (Kind::Stream, "streams of 32 chunks")] {
            check(&targets, kind)?;
            progress.say(&format!("{what}, {connections} connections"));
            table::print_throughput(
                &format!("{what}, {connections} connections"),
                &measure(&load, &targets, kind, connections)?,
            );
            progress.say(&format!("{what}, one connection"));
            table::print_latency(&format!("{what}, 1 connection"), &measure(&load, &targets, kind, 1)?);
        }
        drop(targets);

        progress.say(&format!("{streams} slow streams"));
        let fake = stack::fake(&built, &cores, folder.path(), Pace::Slow)?;
        let targets = with_proxies(&built, &cores, folder.path(), fake)?;
        table::print_memory(
            &format!("{streams} slow streams, a frame a second each"),
            &hold(&targets, streams)?,
        );
        Ok(())
    }
}

/// How long clients read slowly.
const SLOWLY: Duration = Duration::from_secs(20);

/// The fake, and the proxies in front of it.
fn with_proxies(
    built: &[Executable],
    cores: &Cores,
    folder: &Path,
    fake: Target,
) -> anyhow::Result<Vec<Target>> {
    let nginx = stack::nginx(cores, folder, &fake)?;
    let gateway = stack::gateway(built, cores, folder, &fake, Answers::Fresh)?;
    Ok(vec![fake, nginx, gateway])
}

/// Makes sure that each target gives the very same answer.
fn check(targets: &[Target], kind: Kind) -> anyhow::Result<()> {
    let mut expected = None;
    for target in targets {
        let answer = load::check_answer(target.url(kind), kind, expected.as_deref())?;
        expected = Some(answer);
    }
    Ok(())
}

fn measure(load: &Load<'_>, targets: &[Target], kind: Kind, connections: usize) -> anyhow::Result<Vec<Row>> {
    let row = |target: &Target| {
        let measured = load.measure(target.url(kind), kind, connections, target.proxy());
        let measured = measured.with_context(|| format!("failed to measure {}", target.name))?;
        Ok(Row { name: target.name, measured })
    };
    targets.iter().map(row).collect()
}

/// The memory of each proxy before and with `count` streams.
fn hold(targets: &[Target], count: usize) -> anyhow::Result<Vec<(&'static str, u64, u64)>> {
    let mut rows = Vec::new();
    for target in targets {
        let Some(proxy) = target.proxy() else { continue };
        let idle = proxy.memory()?;
        let open = streams::open(target.url(Kind::Stream), count)?;
        rows.push((target.name, idle, proxy.memory()?));
        drop(open);
    }
    Ok(rows)
}

/// The memory of each proxy before, and at its highest while `count` clients read slowly.
fn starve(targets: &[Target], count: usize) -> anyhow::Result<Vec<(&'static str, u64, u64, u64)>> {
    let mut rows = Vec::new();
    for target in targets {
        let Some(proxy) = target.proxy() else { continue };
        let idle = proxy.memory()?;
        let mut streams = streams::open(target.url(Kind::Stream), count)?;
        let mut peak = idle;
        streams::read_slowly(&mut streams, SLOWLY, || {
            peak = peak.max(proxy.memory()?);
            Ok(())
        })?;
        let each = peak.saturating_sub(idle) / u64::try_from(count.max(1))?;
        rows.push((target.name, idle, peak, each));
    }
    Ok(rows)
}

/// Raises the number of files that we and what we start may open: a proxy has two for each stream.
fn allow_files(streams: usize) -> anyhow::Result<()> {
    let wanted = u64::try_from(streams)? * 2 + 1024;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised)
            .with_context(|| format!("{streams} streams need {wanted} open files (ulimit -n)"))?;
    }
    Ok(())
}

/// What this machine is.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or("unknown CPU", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZeroUsize::get);
    format!("{cores} cores, {name}")
}
