//! The set of documents, as a pure state: changes in, what to serve and what to report out.
//!
//! Each object holds what is wanted of it and what is in use. They differ when the newest version was refused: by the
//! reader (it never becomes wanted) or by the join (it stays wanted and is tried again with every build, because the
//! object it waits for may come). What is in use then stays in use, and the report says so.

use super::keys::Keys;
use super::references;
use deepseek_config::document::{Document, Kind, ObjectId};
use deepseek_config::keys::KeyId;
use deepseek_config::report::LoadedObject;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Every wanted document, by the resource it was compiled from. An unchanged document stays the same `Arc`.
pub type Documents = BTreeMap<ObjectId, Arc<Document>>;

/// A document that was read, with the digest it is reported by.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The document.
    pub document: Arc<Document>,
    /// Its SHA-256 in hexadecimal.
    pub sha256: Arc<str>,
}

/// What a source says of one object: the document, or why it cannot be read.
pub type Reading = Result<Loaded, String>;

/// What a source says.
#[derive(Debug)]
pub enum Change {
    /// This is everything there is: what is not in it is gone.
    All {
        /// Every object.
        objects: BTreeMap<ObjectId, Reading>,
        /// Every secret value; `None` when the source knows of none yet.
        keys: Option<Keys>,
    },
    /// An object came or changed.
    Put(ObjectId, Reading),
    /// An object is gone.
    Delete(ObjectId),
    /// Every secret value.
    Keys(Keys),
}

#[derive(Debug, Default)]
struct Object {
    in_use: Option<Loaded>,
    wanted: Option<Loaded>,
    unreadable: Option<String>,
    unjoinable: Option<String>,
}

/// The set of documents and keys.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<ObjectId, Object>,
    documents: Documents,
    keys: Keys,
    /// Values that left the source while a document still refers to them: kept, and reported.
    retained: BTreeSet<KeyId>,
    keys_revision: u64,
}

impl Store {
    /// Takes one change in. Returns whether anything is to be built or reported anew.
    pub fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Put(id, reading) => self.put(id, reading),
            Change::Delete(id) => self.delete(&id),
            Change::Keys(keys) => self.set_keys(keys),
            Change::All { objects, keys } => {
                let gone: Vec<_> =
                    self.objects.keys().filter(|id| !objects.contains_key(*id)).cloned().collect();
                let mut changed = false;
                for id in gone {
                    changed |= self.delete(&id);
                }
                for (id, reading) in objects {
                    changed |= self.put(id, reading);
                }
                if let Some(keys) = keys {
                    changed |= self.set_keys(keys);
                }
                changed
            }
        }
    }

    /// What is wanted.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Secret values.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Moves with every change of a secret value.
    pub fn keys_revision(&self) -> u64 {
        self.keys_revision
    }

    /// Notes what came of a build: every document not among `refused` is now in use.
    pub fn built(&mut self, refused: impl IntoIterator<Item = (ObjectId, String)>) {
        let mut refused: BTreeMap<_, _> = refused.into_iter().collect();
        for (id, object) in &mut self.objects {
            object.unjoinable = refused.remove(id);
            if object.unjoinable.is_none() && object.wanted.is_some() {
                object.in_use.clone_from(&object.wanted);
            }
        }
    }

    /// Notes that a build came to nothing: what it should have brought is refused, for `reason`.
    pub fn not_built(&mut self, reason: &str) {
        for object in self.objects.values_mut() {
            if object.wanted != object.in_use {
                object.unjoinable = Some(reason.to_owned());
            }
        }
    }

    /// What is in use, for the last good copy on disk.
    pub fn in_use(&self) -> impl Iterator<Item = &Loaded> {
        self.objects.values().filter_map(|object| object.in_use.as_ref())
    }

    /// Every object, for the report.
    pub fn report(&self) -> Vec<LoadedObject> {
        let object = |(id, object): (&ObjectId, &Object)| LoadedObject {
            id: id.clone(),
            sha256: object.in_use.as_ref().map(|loaded| loaded.sha256.to_string()),
            generation: object.in_use.as_ref().map(|loaded| loaded.document.generation),
            refused: self.refusal(object),
        };
        self.objects.iter().map(object).collect()
    }

    /// How many objects of `kind` are in use, and of how many the newest version is refused.
    pub fn counts(&self, kind: Kind) -> (usize, usize) {
        let objects = self.objects.iter().filter(|(id, _)| id.kind == kind);
        objects.fold((0, 0), |(loaded, refused), (_, object)| {
            (
                loaded + usize::from(object.in_use.is_some()),
                refused + usize::from(self.refusal(object).is_some()),
            )
        })
    }

    fn refusal(&self, object: &Object) -> Option<String> {
        let vanished = || {
            if self.retained.is_empty() {
                return None;
            }
            let wanted = object.wanted.as_ref()?;
            let gone = references::keys(&wanted.document).find(|key| self.retained.contains(*key))?;
            Some(format!("key {gone} is no longer in the gateway's Secret; its last value stays in use"))
        };
        object.unreadable.clone().or_else(|| object.unjoinable.clone()).or_else(vanished)
    }

    fn put(&mut self, id: ObjectId, reading: Reading) -> bool {
        let object = self.objects.entry(id.clone()).or_default();
        match reading {
            Err(reason) => {
                let known = object.unreadable.as_ref() == Some(&reason);
                object.unreadable = Some(reason);
                !known
            }
            Ok(loaded) => {
                let healed = object.unreadable.take().is_some();
                if object.wanted.as_ref().is_some_and(|wanted| wanted.sha256 == loaded.sha256) {
                    return healed;
                }
                self.documents.insert(id, Arc::clone(&loaded.document));
                object.wanted = Some(loaded);
                self.drop_unreferenced();
                true
            }
        }
    }

    fn delete(&mut self, id: &ObjectId) -> bool {
        self.documents.remove(id);
        let known = self.objects.remove(id).is_some();
        self.drop_unreferenced();
        known
    }

    fn set_keys(&mut self, mut keys: Keys) -> bool {
        self.retained.clear();
        let referred: BTreeSet<_> = self.documents.values().flat_map(|d| references::keys(d)).collect();
        for (id, value) in &self.keys {
            if !keys.contains_key(id) && referred.contains(id) {
                keys.insert(id.clone(), value.clone());
                self.retained.insert(id.clone());
            }
        }
        let changed = keys != self.keys || !self.retained.is_empty();
        if keys != self.keys {
            self.keys_revision += 1;
            self.keys = keys;
        }
        changed
    }

    fn drop_unreferenced(&mut self) {
        if self.retained.is_empty() {
            return;
        }
        let referred: BTreeSet<_> = self.documents.values().flat_map(|d| references::keys(d)).collect();
        let (kept, dropped) =
            std::mem::take(&mut self.retained).into_iter().partition(|id| referred.contains(id));
        self.retained = kept;
        for id in dropped {
            self.keys.remove(&id);
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
