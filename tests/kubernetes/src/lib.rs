//! The programs a real Kubernetes is made of, and where each is found.
//!
//! `cargo xtask setup` puts them there, the test harness takes them from there; this crate is the one place that both
//! ask. The Go modules are the folders beside this crate: their builds are cached outside the repository, under a
//! name that changes with whatever decides their content. Everything else is a Debian package.
//!
//! Who brings a Kubernetes of his own, by [`ASSETS_VARIABLE`] or [`KUBECONFIG_VARIABLE`], gets nothing built.

mod cargo;
mod clients;
mod debian;
mod go;

use std::{
    env,
    path::{Path, PathBuf},
};

pub use cargo::{cargo, static_build};
pub use clients::{
    CLIENT_PACKAGE, CLIENT_PACKAGE_LOCK, CLIENT_REQUIREMENTS, client_environment, client_modules,
    client_node_folder, client_python,
};
pub use debian::{BENCH_PROGRAMS, DebianProgram, PROGRAMS as DEBIAN_PROGRAMS};
pub use go::{COREDNS, GoModule, HELM, KUBERNETES, METRICS_SERVER, MODULES as GO_MODULES};

/// Names a folder with `etcd`, `kube-apiserver`, … to use instead of our own build, as controller-runtime's does.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Names the kubeconfig of a running cluster to test against instead of starting a control plane.
pub const KUBECONFIG_VARIABLE: &str = "DEEPSEEK_TESTS_KUBECONFIG";

/// How much of a Kubernetes a test needs; each tier includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// No Kubernetes at all.
    Unit,
    /// etcd, kube-apiserver and kube-controller-manager; helm; the clients' libraries.
    ControlPlane,
    /// A whole node that runs pods.
    Node,
}

impl Tier {
    /// The flag of `cargo xtask setup` that prepares this tier.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Unit => "--unit",
            Self::ControlPlane => "--control-plane",
            Self::Node => "--node",
        }
    }
}

/// A program that is not on this machine, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is missing (looked in {looked_in}): {fix}")]
pub struct Missing {
    name: String,
    looked_in: String,
    fix: String,
}

/// Where the program `name` is, be it one of our builds or a Debian package's.
pub fn program(name: &str) -> Result<PathBuf, Missing> {
    let module = GO_MODULES.iter().find(|module| module.programs.contains(&name));
    let tier = module.map_or_else(|| debian::tier_of(name), |module| module.tier);
    let setup = format!("run `cargo xtask setup {}`", tier.flag());
    let (path, looked_in, fix) = match (module, brought_along()) {
        (Some(module), None) => {
            let path = module.bin_dir().join(name);
            (path.is_file().then_some(path), module.bin_dir().display().to_string(), setup)
        }
        (Some(_), Some(source)) => {
            let path = in_assets(name).or_else(|| debian::find(name));
            (path, format!("{source}, PATH"), format!("put it there, or unset {source} and {setup}"))
        }
        (None, _) => (in_assets(name).or_else(|| debian::find(name)), "PATH".to_owned(), setup),
    };
    path.ok_or_else(|| Missing { name: name.to_owned(), looked_in, fix })
}

/// The variable by which the user brings a Kubernetes of his own, if he does.
pub fn brought_along() -> Option<&'static str> {
    [ASSETS_VARIABLE, KUBECONFIG_VARIABLE]
        .into_iter()
        .find(|name| env::var_os(name).is_some_and(|it| !it.is_empty()))
}

fn in_assets(name: &str) -> Option<PathBuf> {
    let path = Path::new(&env::var_os(ASSETS_VARIABLE)?).join(name);
    path.is_file().then_some(path)
}

/// Where builds are kept between runs: `$XDG_CACHE_HOME/deepseek-gateway`, by default under `~/.cache`.
pub fn cache_dir() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir);
    base.join("deepseek-gateway")
}

/// The image archive of the program that holds a pod's namespaces (`pause/`); the harness builds it when it is missing.
pub fn pause_archive() -> PathBuf {
    let sources: [&[u8]; 2] = [include_bytes!("../pause/pause.c"), include_bytes!("../pause/Dockerfile")];
    cache_dir().join(format!("pause-{}.tar", go::short_digest(&sources)))
}
