//! The last good configuration on disk: what a restarted container serves while the API server is away.
//!
//! One file of JSON lines, written beside and renamed over, readable by its owner alone because it holds keys (the
//! operator mounts a memory volume there). Each document carries its digest and is checked again when read, so a
//! damaged line costs that one object. No fsync: the file need only outlive the process, not the node.

use super::keys::{Keys, Secret};
use super::store::{Loaded, Reading, Store};
use deepseek_config::document::{Document, ObjectId};
use deepseek_config::keys::KeyId;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = "last-good.jsonl";

/// Where the last good configuration is kept.
#[derive(Clone, Debug)]
pub struct LastGood {
    path: PathBuf,
    scratch: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Key { id: KeyId, value: ByteString },
    Document { id: ObjectId, json: String, sha256: String },
}

impl LastGood {
    /// Keeps it in `directory`, which is made if need be.
    pub fn in_directory(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { path: directory.join(FILE), scratch: directory.join(format!(".{FILE}.new")) })
    }

    /// Writes what `store` has in use.
    pub fn save(&self, store: &Store) -> io::Result<()> {
        // A scratch file left by a killed process may have other permissions; make it anew.
        match fs::remove_file(&self.scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.scratch)?;
        let mut writer = BufWriter::new(file);
        for (id, value) in store.keys() {
            let line = Line::Key { id: id.clone(), value: ByteString(value.expose().to_vec()) };
            write_line(&mut writer, &line)?;
        }
        for loaded in store.in_use() {
            let encoded = loaded.document.encode()?;
            let line =
                Line::Document { id: loaded.document.id.clone(), json: encoded.json, sha256: encoded.sha256 };
            write_line(&mut writer, &line)?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&self.scratch, &self.path)
    }

    /// Reads it back; `None` when there is none.
    pub fn load(&self) -> io::Result<Option<(BTreeMap<ObjectId, Reading>, Keys)>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let (mut objects, mut keys) = (BTreeMap::new(), Keys::new());
        for (number, line) in BufReader::new(file).lines().enumerate() {
            match serde_json::from_str(&line?) {
                Ok(Line::Key { id, value }) => {
                    keys.insert(id, Secret::from(value.0));
                }
                Ok(Line::Document { id, json, sha256 }) => {
                    objects.insert(id, read(&json, &sha256));
                }
                // Not the error itself: it may quote a key.
                Err(_) => {
                    tracing::warn!(file = %self.path.display(), line = number + 1, "damaged line skipped");
                }
            }
        }
        Ok(Some((objects, keys)))
    }
}

/// Reads a document as it came, checking its digest.
pub fn read(json: &str, sha256: &str) -> Reading {
    let document = Document::decode(json, sha256).map_err(|error| error.to_string())?;
    Ok(Loaded { document: Arc::new(document), sha256: sha256.into() })
}

fn write_line(writer: &mut impl io::Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::super::store::Change;
    use super::super::testing::{backend, id, key_id};
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn saved(directory: &Path) -> LastGood {
        let mut store = Store::default();
        let objects = ["a", "b"].into_iter().map(|name| (id(name), Ok(backend(name, 3)))).collect();
        let keys = Keys::from([(key_id(), Secret::from(b"sk-1\xff".to_vec()))]);
        store.apply(Change::All { objects, keys: Some(keys) });
        store.built([]);
        let last_good = LastGood::in_directory(&directory.join("made")).unwrap();
        last_good.save(&store).unwrap();
        last_good
    }

    #[test]
    fn what_was_saved_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let (objects, keys) = saved(directory.path()).load().unwrap().unwrap();
        assert_eq!(objects[&id("a")], Ok(backend("a", 3)));
        assert_eq!(objects.len(), 2);
        assert_eq!(keys[&key_id()].expose(), b"sk-1\xff");
    }

    #[test]
    fn only_the_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let last_good = saved(directory.path());
        assert_eq!(fs::metadata(&last_good.path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_saved_is_nothing_read() {
        let directory = tempfile::tempdir().unwrap();
        assert!(LastGood::in_directory(directory.path()).unwrap().load().unwrap().is_none());
    }

    #[test]
    fn a_damaged_line_costs_one_object() {
        let directory = tempfile::tempdir().unwrap();
        let last_good = saved(directory.path());
        let text = fs::read_to_string(&last_good.path).unwrap();
        let damaged = text.replacen("127.0.0.1", "127.0.0.9", 1);
        fs::write(&last_good.path, &damaged[..damaged.len() - 20]).unwrap();
        let (objects, keys) = last_good.load().unwrap().unwrap();
        assert_eq!(objects.len(), 1, "the cut line is skipped");
        assert!(objects[&id("a")].as_ref().unwrap_err().contains("SHA-256"));
        assert_eq!(keys.len(), 1);
    }
}
