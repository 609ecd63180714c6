//! What can go wrong in a reconcile, and what to do about it.

use crate::leader::NotLeader;

/// Why a reconcile failed. All of these are tried again, after a pause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a write, or did not answer.
    #[error("failed to {verb} {kind} {namespace}/{name}")]
    Write {
        /// `create`, `apply`, `delete`, `read` or `patch the status of`.
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the client says.
        source: kube::Error,
    },
    /// It took too long.
    #[error("the API server took too long to {verb} {kind} {namespace}/{name}")]
    Timeout {
        /// See [`Error::Write`].
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Another replica writes now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// Something of ours cannot be written as JSON.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
