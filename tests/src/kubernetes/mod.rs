//! A real Kubernetes for the tests, as much of it as a test needs.
//!
//! [`ControlPlane`] is etcd, kube-apiserver and kube-controller-manager on loopback: enough for custom resources,
//! RBAC, reconciling and status. Both it and the node lend their [`Cluster`]: clients, kubeconfigs, `kubectl`.
//!
//! ```text
//! test process ── spawns ──▶ etcd, kube-apiserver, …   (each its own process group, log in dir/log/)
//!       │                        ▲
//!       └── pipe ──▶ janitor ────┘  kills them and removes dir when the pipe closes, however we ended
//! ```
//!
//! The programs come from `cargo xtask setup`; a test without them fails and says so.

mod audit;
mod cluster;
mod components;
mod control_plane;
pub mod image;
mod janitor;
mod node;
mod pki;
mod ports;
mod process;
mod programs;
mod wait;

pub use audit::Write;
pub use cluster::{Cluster, Output};
pub use control_plane::ControlPlane;
pub use node::{Node, load_image_into};
pub use wait::{eventually, try_eventually};
