//! Tests against a real Kubernetes API; `cargo xtask setup --control-plane` brings what they need.

mod chart;
mod crds;
mod gateway_cluster;
mod harness;
mod operator;
mod permissions;
