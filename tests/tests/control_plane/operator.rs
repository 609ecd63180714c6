//! The operator against a real API server, with the permissions that its chart grants.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod accounts;
mod documents;
mod election;
mod faults;
mod process;
mod status;
mod support;
mod workload;
