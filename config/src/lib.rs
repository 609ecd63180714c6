//! Compiled configuration: the contract between operator and gateway, and the pure compiler from custom resources
//! to it.
//!
//! * [`document`]: what the operator writes (one document a ConfigMap) and the gateway loads.
//! * [`report`]: what a gateway pod answers on `GET /status`, from which the operator writes status.
//! * [`keys`]: names of projected secret values, and the hash an API key is known by.
//!
//! Nothing here does I/O or reads the clock.

pub mod document;
pub mod keys;
pub mod report;
