//! Compiled configuration: the contract between operator and gateway, and the pure compiler from custom resources
//! to it.
//!
//! * [`document`]: what the operator writes (one document a ConfigMap) and the gateway loads.
//! * [`world`]: the resources, indexed: a change in, the affected resources out.
//! * [`compile`]: one resource in, its verdict and documents out.
//! * [`defaults`]: what a field that is left out means.
//! * [`manifest`]: from YAML to resources, where no API server checks them.
//! * [`report`]: what a gateway pod answers on `GET /status`, from which the operator writes status.
//! * [`keys`]: names of projected secret values, and the hash an API key is known by.
//!
//! Nothing here does I/O or reads the clock.

pub mod compile;
pub mod defaults;
pub mod document;
pub mod keys;
pub mod manifest;
pub mod report;
pub mod world;
