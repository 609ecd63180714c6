//! Client libraries, as their users install them, against the gateway: each test runs one script of `tests/clients/`,
//! which fails by an exception. `cargo xtask setup --control-plane` installs the libraries.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod langchain;
mod node;
mod python;
mod support;
