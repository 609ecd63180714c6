//! The client libraries that the tests drive the gateway with: a Python environment and a folder for Node.

use std::path::{Path, PathBuf};

use crate::{Missing, Tier, cache_dir, go::short_digest};

/// What is installed in the Python environment, in pip's format.
pub const CLIENT_REQUIREMENTS: &str = include_str!("../../clients/requirements.txt");

/// What is installed for Node: `package.json`, and npm's lock of it.
pub const CLIENT_PACKAGE: &str = include_str!("../../clients/node/package.json");
/// The lock that belongs to [`CLIENT_PACKAGE`].
pub const CLIENT_PACKAGE_LOCK: &str = include_str!("../../clients/node/package-lock.json");

/// The environment's folder; its name follows [`CLIENT_REQUIREMENTS`].
pub fn client_environment() -> PathBuf {
    cache_dir().join(format!("clients-{}", short_digest(&[CLIENT_REQUIREMENTS.as_bytes()])))
}

/// The environment's Python.
pub fn client_python() -> Result<PathBuf, Missing> {
    // An environment cannot be moved into place when it is finished: a file says that it is.
    if client_environment().join("complete").is_file() {
        return Ok(client_environment().join("bin/python"));
    }
    Err(missing("python with the client libraries", &client_environment()))
}

/// The folder of Node's libraries, which [`client_modules`] is in; its name follows the lock.
pub fn client_node_folder() -> PathBuf {
    let parts = [CLIENT_PACKAGE.as_bytes(), CLIENT_PACKAGE_LOCK.as_bytes()];
    cache_dir().join(format!("clients-node-{}", short_digest(&parts)))
}

/// The `node_modules` with the client libraries. A script sees it from beside it, or from a folder below.
pub fn client_modules() -> Result<PathBuf, Missing> {
    let modules = client_node_folder().join("node_modules");
    if modules.is_dir() {
        Ok(modules)
    } else {
        Err(missing("node_modules with the client libraries", &modules))
    }
}

fn missing(name: &str, looked_in: &Path) -> Missing {
    Missing {
        name: name.to_owned(),
        looked_in: looked_in.display().to_string(),
        fix: format!("run `cargo xtask setup {}`", Tier::ControlPlane.flag()),
    }
}
