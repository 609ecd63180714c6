//! The Python environment with the client libraries that the tests drive the gateway with.

use std::path::PathBuf;

use crate::{Missing, Tier, cache_dir, go::short_digest};

/// What is installed in it, in pip's format.
pub const CLIENT_REQUIREMENTS: &str = include_str!("../../clients/requirements.txt");

/// The environment's folder; its name follows [`CLIENT_REQUIREMENTS`].
pub fn client_environment() -> PathBuf {
    cache_dir().join(format!("clients-{}", short_digest(&[CLIENT_REQUIREMENTS.as_bytes()])))
}

/// The environment's Python.
pub fn client_python() -> Result<PathBuf, Missing> {
    let python = client_environment().join("bin/python");
    // An environment cannot be moved into place when it is finished: a file says that it is.
    if client_environment().join("complete").is_file() {
        return Ok(python);
    }
    Err(Missing {
        name: "python with the client libraries".to_owned(),
        looked_in: client_environment().display().to_string(),
        fix: format!("run `cargo xtask setup {}`", Tier::ControlPlane.flag()),
    })
}
