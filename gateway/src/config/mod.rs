//! Where configuration comes from and how it becomes the snapshot that requests are served from.
//!
//! ```text
//!  cluster (watches)  ─┐ changes            documents, keys
//!                      ├────────▶ store ─────────────────────▶ snapshot::build ─▶ ArcSwap
//!  standalone (files) ─┘            │  ▲                              │ refused
//!                                   │  └──────────────────────────────┘
//!                          last good on disk, report
//! ```
//! The store lives on a thread of its own: joining thousands of documents never holds up a request.

pub mod cluster;
pub mod files;
pub mod keys;
pub mod last_good;
pub mod metrics;
mod references;
pub mod standalone;
pub mod store;
#[cfg(test)]
mod testing;
pub mod worker;
