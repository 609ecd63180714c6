//! The Go modules beside this crate, and the folders their builds are cached in.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::{Tier, cache_dir};

/// One Go module under `tests/kubernetes/`, built into one program.
#[derive(Debug)]
pub struct GoModule {
    /// Its folder under `tests/kubernetes/`.
    pub name: &'static str,
    /// The Go package to build, as seen from that folder.
    pub package: &'static str,
    /// What `-ldflags` is given.
    pub linker_flags: &'static str,
    /// The names that the program answers to: the first is the build, links to it are the others.
    pub programs: &'static [&'static str],
    /// The first tier that needs it.
    pub tier: Tier,
    /// What a cold build on two cores takes, for the person who waits.
    pub minutes: u32,
    sources: &'static [&'static [u8]],
}

/// The Kubernetes components as one program that looks at the name it was called by.
pub static KUBERNETES: GoModule = GoModule {
    name: "kubernetes",
    package: ".",
    linker_flags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4 \
                   -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34",
    programs: &[
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ],
    tier: Tier::ControlPlane,
    minutes: 6,
    sources: &[
        include_bytes!("../kubernetes/main.go"),
        include_bytes!("../kubernetes/go.mod"),
        include_bytes!("../kubernetes/go.sum"),
    ],
};

/// Helm, which installs the charts.
pub static HELM: GoModule = GoModule {
    name: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    linker_flags: "-s -w",
    programs: &["helm"],
    tier: Tier::ControlPlane,
    minutes: 2,
    sources: &[include_bytes!("../helm/go.mod"), include_bytes!("../helm/go.sum")],
};

/// CoreDNS, by which pods find Services.
pub static COREDNS: GoModule = GoModule {
    name: "coredns",
    package: ".",
    linker_flags: "-s -w",
    programs: &["coredns"],
    tier: Tier::Node,
    minutes: 2,
    sources: &[
        include_bytes!("../coredns/main.go"),
        include_bytes!("../coredns/go.mod"),
        include_bytes!("../coredns/go.sum"),
    ],
};

/// metrics-server, which tells the HPA how much CPU pods use.
pub static METRICS_SERVER: GoModule = GoModule {
    name: "metrics-server",
    package: "sigs.k8s.io/metrics-server/cmd/metrics-server",
    linker_flags: "-s -w",
    programs: &["metrics-server"],
    tier: Tier::Node,
    minutes: 3,
    sources: &[include_bytes!("../metrics-server/go.mod"), include_bytes!("../metrics-server/go.sum")],
};

/// Every module, in the order in which they are built.
pub static MODULES: [&GoModule; 4] = [&KUBERNETES, &HELM, &METRICS_SERVER, &COREDNS];

impl GoModule {
    /// The folder of this module's finished build; it exists only when the build is complete.
    pub fn dir(&self) -> PathBuf {
        let flags = [self.package.as_bytes(), self.linker_flags.as_bytes()];
        let digest = short_digest(&[&flags, self.sources].concat());
        cache_dir().join(format!("{}-{digest}", self.name))
    }

    /// The folder of the programs in [`GoModule::dir`].
    pub fn bin_dir(&self) -> PathBuf {
        self.dir().join("bin")
    }

    /// Whether a finished build is in the cache.
    pub fn is_built(&self) -> bool {
        self.programs.iter().all(|program| self.bin_dir().join(program).is_file())
    }
}

/// The first twelve hexadecimal digits of the SHA-256 over `parts`, each preceded by its length.
pub(crate) fn short_digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let first = hash.finalize().iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{first:012x}")
}
