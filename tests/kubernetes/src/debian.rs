//! The programs that come as Debian packages.

use std::path::{Path, PathBuf};

use crate::Tier;

/// A program (or file) and the Debian package that brings it.
#[derive(Debug)]
pub struct DebianProgram {
    /// A name to look for in `PATH`, or an absolute path.
    pub file: &'static str,
    /// The package that has it.
    pub package: &'static str,
    /// The first tier that needs it.
    pub tier: Tier,
}

const fn needs(file: &'static str, package: &'static str, tier: Tier) -> DebianProgram {
    DebianProgram { file, package, tier }
}

/// Everything the tests take from Debian.
pub static PROGRAMS: [DebianProgram; 24] = [
    needs("cc", "gcc", Tier::Unit),
    needs("c++", "g++", Tier::Unit),
    needs("strip", "binutils", Tier::Unit),
    needs("/etc/ssl/certs/ca-certificates.crt", "ca-certificates", Tier::ControlPlane),
    needs("curl", "curl", Tier::ControlPlane),
    needs("unzip", "unzip", Tier::ControlPlane),
    needs("etcd", "etcd-server", Tier::ControlPlane),
    needs("redis-server", "redis-server", Tier::ControlPlane),
    needs("python3", "python3", Tier::ControlPlane),
    needs("/usr/share/python-wheels", "python3-venv", Tier::ControlPlane),
    needs("node", "nodejs", Tier::ControlPlane),
    needs("npm", "npm", Tier::ControlPlane),
    needs("containerd", "containerd", Tier::Node),
    needs("runc", "runc", Tier::Node),
    needs("/usr/lib/cni/bridge", "containernetworking-plugins", Tier::Node),
    needs("iptables", "iptables", Tier::Node),
    needs("nft", "nftables", Tier::Node),
    needs("ip", "iproute2", Tier::Node),
    needs("conntrack", "conntrack", Tier::Node),
    needs("socat", "socat", Tier::Node),
    needs("ethtool", "ethtool", Tier::Node),
    needs("buildah", "buildah", Tier::Node),
    needs("nsenter", "util-linux", Tier::Node),
    needs("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev", Tier::Node),
];

/// What `cargo xtask bench` takes from Debian besides.
pub static BENCH_PROGRAMS: [DebianProgram; 3] = [
    needs("wrk", "wrk", Tier::Unit),
    needs("nginx", "nginx-light", Tier::Unit),
    needs("taskset", "util-linux", Tier::Unit),
];

impl DebianProgram {
    /// Whether it is on this machine.
    pub fn is_installed(&self) -> bool {
        find(self.file).is_some()
    }
}

/// The first tier that needs the program `name`.
pub(crate) fn tier_of(name: &str) -> Tier {
    PROGRAMS.iter().find(|program| program.file == name).map_or(Tier::Node, |program| program.tier)
}

/// Looks for `file` in `PATH` and in the folders of system programs, which a user's `PATH` may lack.
pub(crate) fn find(file: &str) -> Option<PathBuf> {
    if Path::new(file).is_absolute() {
        return Some(PathBuf::from(file)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(file)).find(|path| path.is_file())
}
