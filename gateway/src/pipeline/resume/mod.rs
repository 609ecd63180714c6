//! Streams that survive: a broken answer is continued by another backend, unseen by the client.
//!
//! A [`transcript`] remembers what the client was sent. When the stream breaks, a [`continuation`] is the request that
//! makes another backend go on with it, and a [`stitch`] makes what that one sends go on as the same answer. All of it
//! is pure: events in, events out. `docs/streams.md` tells what can be continued where, and what is charged.

mod chunk;
pub mod continuation;
mod edits;
pub mod events;
mod expected;
pub mod outcome;
mod request;
pub mod stitch;
pub mod thread;
pub mod transcript;
mod usage;

#[cfg(test)]
mod tests;
