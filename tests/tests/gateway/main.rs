//! The gateway over real sockets, against the fake DeepSeek.

mod failover;
mod protocols;
mod quotas;
mod refusals;
mod support;
mod wire;
