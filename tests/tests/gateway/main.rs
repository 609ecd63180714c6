//! The gateway over real sockets, against the fake DeepSeek.

mod accounts;
mod admin;
mod balancing;
mod clocks;
mod drain;
mod failover;
mod hedging;
mod protocols;
mod quotas;
mod refusals;
mod reload;
mod soak;
mod splits;
mod standalone;
mod support;
mod wire;
