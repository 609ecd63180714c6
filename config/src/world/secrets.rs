//! The Secrets that resources refer to: what is known of each, and who uses which key of it.

use crate::document::ObjectId;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Namespace and name of a Secret.
pub(crate) type SecretId = (String, String);

/// One key of one Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SecretKey {
    pub secret: SecretId,
    pub key: String,
}

/// What a Secret holds.
pub(crate) type SecretData = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub(crate) struct Secrets {
    entries: HashMap<SecretId, Entry>,
    unread: BTreeSet<SecretId>,
}

#[derive(Default)]
struct Entry {
    /// `None` as long as nobody has looked, or when it is not there.
    data: Option<SecretData>,
    users: BTreeMap<ObjectId, BTreeSet<String>>,
}

/// Why a value is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Secret,
    Key,
}

impl Secrets {
    pub fn wants(&self, secret: &SecretId) -> bool {
        self.entries.contains_key(secret)
    }

    pub fn unread(&self) -> Vec<SecretId> {
        self.unread.iter().cloned().collect()
    }

    pub fn add_user(&mut self, key: &SecretKey, user: &ObjectId) {
        let entry = self.entries.entry(key.secret.clone()).or_insert_with(|| {
            self.unread.insert(key.secret.clone());
            Entry::default()
        });
        entry.users.entry(user.clone()).or_default().insert(key.key.clone());
    }

    /// Forgets that `user` uses `key`; a Secret that nobody uses is forgotten with its data.
    pub fn remove_user(&mut self, key: &SecretKey, user: &ObjectId) {
        let Some(entry) = self.entries.get_mut(&key.secret) else { return };
        if let Some(keys) = entry.users.get_mut(user) {
            keys.remove(&key.key);
            if keys.is_empty() {
                entry.users.remove(user);
            }
        }
        if entry.users.is_empty() {
            self.entries.remove(&key.secret);
            self.unread.remove(&key.secret);
        }
    }

    /// Takes what a Secret holds and returns the users of the keys that changed; every user when it was unread, as what
    /// they heard of it was a guess.
    pub fn set(&mut self, secret: &SecretId, data: Option<SecretData>) -> BTreeSet<ObjectId> {
        let unread = self.unread.remove(secret);
        let Some(entry) = self.entries.get_mut(secret) else { return BTreeSet::new() };
        let old = std::mem::replace(&mut entry.data, data);
        let changed = |key: &String| match (&old, &entry.data) {
            (Some(old), Some(new)) => old.get(key) != new.get(key),
            (old, new) => old.is_some() != new.is_some(),
        };
        entry
            .users
            .iter()
            .filter(|(_, keys)| unread || keys.iter().any(changed))
            .map(|(user, _)| user.clone())
            .collect()
    }

    pub fn value(&self, secret: &SecretId, key: &str) -> Result<&[u8], Absent> {
        let data = self.entries.get(secret).and_then(|entry| entry.data.as_ref()).ok_or(Absent::Secret)?;
        data.get(key).map(Vec::as_slice).ok_or(Absent::Key)
    }
}
