//! The operator against a real API server, with the permissions that its chart grants.

mod documents;
mod support;
