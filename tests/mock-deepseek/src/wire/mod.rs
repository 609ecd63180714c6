//! The shapes on the wire, one file per API. Pure: an [`Answer`](crate::answer::Answer) in, bytes or frames out.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod embeddings;
pub(crate) mod errors;
pub(crate) mod fim;
pub(crate) mod models;
pub(crate) mod object;
pub(crate) mod responses;
pub(crate) mod sse;
