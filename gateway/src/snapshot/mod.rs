//! The joined configuration that requests are served from: built whole, swapped atomically, kept by the requests that
//! began with it.

use crate::config::keys::Keys;
use deepseek_config::document::{Document, ObjectId};
use deepseek_config::report::{BackendReport, RouteReport};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A document that was read and checked. Unchanged documents stay the same `Arc` from build to build.
#[derive(Debug)]
pub struct Loaded {
    /// The document.
    pub document: Document,
    /// Its digest.
    pub sha256: String,
}

/// Every document, by the resource it was compiled from.
pub type Documents = BTreeMap<ObjectId, Arc<Loaded>>;

/// What a snapshot is built from.
#[derive(Clone, Copy, Debug)]
pub struct BuildInput<'a> {
    /// What serves now: runtime state is carried over from it, and objects that are refused stay as they are in it.
    pub previous: &'a Snapshot,
    /// What should be served.
    pub documents: &'a Documents,
    /// Secret values.
    pub keys: &'a Keys,
}

/// What came of a build.
#[derive(Debug)]
pub struct BuildOutput {
    /// What serves from now on.
    pub snapshot: Snapshot,
    /// Why documents were not taken; for these the snapshot holds what `previous` held.
    pub refused: BTreeMap<ObjectId, String>,
}

/// The joined configuration.
#[derive(Debug, Default)]
pub struct Snapshot {
    documents: Documents,
}

impl Snapshot {
    /// Serves nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Joins `input` into a snapshot.
    pub fn build(input: BuildInput<'_>) -> BuildOutput {
        let snapshot = Self { documents: input.documents.clone() };
        BuildOutput { snapshot, refused: BTreeMap::new() }
    }

    /// The gateway's own document.
    pub fn gateway(&self) -> Option<&deepseek_config::document::Gateway> {
        self.documents.values().find_map(|loaded| match &loaded.document.body {
            deepseek_config::document::Body::Gateway(gateway) => Some(gateway),
            _ => None,
        })
    }

    /// Every backend of every route, for the report.
    pub fn backends(&self) -> Vec<BackendReport> {
        Vec::new()
    }

    /// Every route that has seen traffic, for the report.
    pub fn routes(&self) -> Vec<RouteReport> {
        Vec::new()
    }
}
