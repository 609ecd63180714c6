//! What holds of the API itself: generated files are fresh, schemas are bounded and documented, rules speak plainly.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod cel;
mod documents;
mod schema;
