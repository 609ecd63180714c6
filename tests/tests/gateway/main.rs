//! The gateway over real sockets, against the fake DeepSeek.

mod accounts;
mod admin;
mod balancing;
mod caching;
mod causes;
mod clocks;
mod drain;
mod failover;
mod fallback;
mod flavors;
mod halves;
mod hedging;
mod merging;
mod protocols;
mod quotas;
mod refusals;
mod reload;
mod resume;
mod shedding;
mod soak;
mod splits;
mod standalone;
mod support;
mod wire;
