//! The OpenAI-compatible data plane in front of DeepSeek.
//!
//! A request goes through [`pipeline`]: identify → match → admit → dispatch → relay → settle. What it goes by is one
//! immutable [`snapshot`], swapped as a whole; a request in flight keeps the one it began with. [`upstream`] knows
//! backends: connections, health, choice. [`server`] owns sockets. [`config`] makes the snapshots, [`drain`] says when
//! to leave.

pub mod admin;
pub mod args;
pub mod config;
pub mod drain;
pub mod flavor;
pub mod listeners;
pub mod metrics;
pub mod observe;
pub mod pipeline;
pub mod report;
pub mod run;
pub mod server;
pub mod signals;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;
pub mod watchdog;
