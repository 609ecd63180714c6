//! Tests on a real Kubernetes node that runs pods; `cargo xtask setup --node` brings what they need. They run as root.

mod e2e;
mod harness;
