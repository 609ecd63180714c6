//! Backends: connections, health, choice, one attempt.

pub mod account;
pub mod attempt;
pub mod balance;
pub mod beginning;
pub mod breaker;
pub mod client;
pub mod failure;
pub mod finish;
pub mod headers;
pub mod judge;
pub mod sliding;
pub mod splice;
