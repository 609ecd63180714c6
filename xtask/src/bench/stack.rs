//! What is measured: the fake DeepSeek, nginx in front of it, the gateway in front of it.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    cores::{Cores, pinned},
    load::Kind,
    usage::Program,
};
use crate::{
    cargo::{self, Executable, workspace},
    service::Service,
};

const START_DEADLINE: Duration = Duration::from_secs(10);

/// Something that takes load.
pub(super) struct Target {
    pub(super) name: &'static str,
    service: Service,
    whole: String,
    streams: String,
    is_proxy: bool,
}

impl Target {
    pub(super) fn url(&self, kind: Kind) -> &str {
        match kind {
            Kind::Whole => &self.whole,
            Kind::Stream => &self.streams,
        }
    }

    /// What is measured of it, if it is a proxy.
    pub(super) fn proxy(&self) -> Option<Program> {
        self.is_proxy.then(|| Program(self.service.pid()))
    }
}

/// How a fake answers.
#[derive(Clone, Copy)]
pub(super) enum Pace {
    /// At once, from prepared bytes.
    Prepared,
    /// A frame now and then, for a long time.
    Slow,
    /// As fast as it is read, 100 MB a stream.
    Fast,
}

pub(super) fn fake(built: &[Executable], cores: &Cores, logs: &Path, pace: Pace) -> anyhow::Result<Target> {
    let (name, scenario) = match pace {
        Pace::Prepared => ("direct", "bench"),
        Pace::Fast => ("fast fake", "text?chunks=100000&chunk_bytes=1000"),
        Pace::Slow => ("slow fake", "text?chunks=100000&chunk_delay_ms=1000"),
    };
    let mut command = pinned(&cores.others, cargo::program(built, "mock-deepseek")?);
    command.args(["--no-record", "--threads", "1", "--scenario", scenario]);
    let (service, [url]) = Service::start(name, &mut command, logs, ["listening on "])?;
    Ok(Target { name, service, whole: url.clone(), streams: url, is_proxy: false })
}

/// Whether the gateway asks the fake each time, or gives answers that it has kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    Fresh,
    Kept,
}

pub(super) fn gateway(
    built: &[Executable],
    cores: &Cores,
    folder: &Path,
    upstream: &Target,
    answers: Answers,
) -> anyhow::Result<Target> {
    let (name, cache) = match answers {
        Answers::Fresh => ("gateway", ""),
        Answers::Kept => ("kept", "  cache: {ttl: 24h}\n"),
    };
    let manifests = fs::read_to_string(workspace().join("tests/bench/gateway.yaml"))? + cache;
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, manifests.replace("UPSTREAM", upstream.url(Kind::Whole)))?;
    let mut command = pinned(&cores.proxy, cargo::program(built, "deepseek-gateway")?);
    command.arg("standalone").arg(&file).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let (service, [url]) = Service::start(name, &mut command, folder, ["listening on "])?;
    Ok(Target { name, service, whole: url.clone(), streams: url, is_proxy: true })
}

pub(super) fn nginx(cores: &Cores, folder: &Path, upstream: &Target) -> anyhow::Result<Target> {
    let template = fs::read_to_string(workspace().join("tests/bench/nginx.conf"))?;
    let [whole, streams] = [free_address()?, free_address()?];
    let upstream = upstream.url(Kind::Whole).trim_start_matches("http://");
    let config = template
        .replace("UPSTREAM", upstream)
        .replace("WHOLE", &whole.to_string())
        .replace("STREAMS", &streams.to_string());
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = pinned(&cores.proxy, kubernetes_assets::program("nginx")?);
    command.arg("-p").arg(folder).arg("-c").arg(&file);
    let (mut service, []) = Service::start("nginx", &mut command, folder, [])?;
    let begin = Instant::now();
    // It says nothing when it serves.
    while TcpStream::connect(streams).is_err() {
        service.check()?;
        anyhow::ensure!(begin.elapsed() < START_DEADLINE, "nginx does not serve after {START_DEADLINE:?}");
        thread::sleep(Duration::from_millis(10));
    }
    let [whole, streams] = [whole, streams].map(|address| format!("http://{address}"));
    Ok(Target { name: "nginx", service, whole, streams, is_proxy: true })
}

fn free_address() -> anyhow::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr().context("no free port")
}
