//! Tests of the DeepSeek gateway from the outside, as its users see it.

pub mod binaries;
pub mod calls;
pub mod compiled;
pub mod failures;
pub mod gateway;
pub mod kubernetes;
pub mod manifests;
pub mod operator;
pub mod soak;
