//! The real operator as a process against a control plane, and what stands in for a node's pods.

mod installation;
mod pod;
mod process;
mod report_server;
pub mod scale;

pub use installation::{Installation, SYSTEM};
pub use pod::{FakePod, GatewayPod};
pub use process::Operator;
