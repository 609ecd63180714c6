//! Where configuration comes from and how it becomes the snapshot that requests are served from.

pub mod keys;
