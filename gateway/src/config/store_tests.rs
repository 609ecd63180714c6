use super::super::keys::{Keys, Secret};
use super::super::testing::{backend, id, key_id};
use super::*;

fn store_with(names: &[&str]) -> Store {
    let mut store = Store::default();
    let objects = names.iter().map(|name| (id(name), Ok(backend(name, 1)))).collect();
    let keys = Keys::from([(key_id(), Secret::from(b"sk-1".to_vec()))]);
    assert!(store.apply(Change::All { objects, keys: Some(keys) }));
    store.built([]);
    store
}

fn object(store: &Store, name: &str) -> LoadedObject {
    store.report().into_iter().find(|object| object.id == id(name)).unwrap()
}

#[test]
fn an_unreadable_version_leaves_the_last_good_in_use_and_is_reported() {
    let mut store = store_with(&["a"]);
    assert!(store.apply(Change::Put(id("a"), Err("cut off".to_owned()))));
    store.built([]);
    let seen = object(&store, "a");
    assert_eq!((seen.generation, seen.refused.as_deref()), (Some(1), Some("cut off")));
    assert!(store.documents().contains_key(&id("a")));
    assert_eq!(store.counts(Kind::Backend), (1, 1));
}

#[test]
fn an_object_that_never_loaded_has_no_digest() {
    let mut store = Store::default();
    assert!(store.apply(Change::Put(id("a"), Err("cut off".to_owned()))));
    store.built([]);
    assert_eq!(object(&store, "a").sha256, None);
}

#[test]
fn a_version_the_join_refuses_is_not_reported_as_loaded_until_it_is_taken() {
    let mut store = store_with(&["a"]);
    assert!(store.apply(Change::Put(id("a"), Ok(backend("a", 2)))));
    store.built([(id("a"), "no such port".to_owned())]);
    assert_eq!(object(&store, "a").generation, Some(1));
    assert_eq!(object(&store, "a").refused.as_deref(), Some("no such port"));
    store.built([]);
    assert_eq!((object(&store, "a").generation, object(&store, "a").refused), (Some(2), None));
}

#[test]
fn the_same_document_again_changes_nothing() {
    let mut store = store_with(&["a"]);
    let before = Arc::clone(&store.documents()[&id("a")]);
    assert!(!store.apply(Change::Put(id("a"), Ok(backend("a", 1)))));
    assert!(Arc::ptr_eq(&before, &store.documents()[&id("a")]));
}

#[test]
fn going_back_to_the_last_good_version_clears_the_refusal() {
    let mut store = store_with(&["a"]);
    store.apply(Change::Put(id("a"), Err("cut off".to_owned())));
    assert!(store.apply(Change::Put(id("a"), Ok(backend("a", 1)))));
    assert_eq!(object(&store, "a").refused, None);
}

#[test]
fn what_a_full_list_does_not_hold_is_gone() {
    let mut store = store_with(&["a", "b"]);
    let objects = BTreeMap::from([(id("b"), Ok(backend("b", 1)))]);
    assert!(store.apply(Change::All { objects, keys: None }));
    assert_eq!(store.documents().keys().collect::<Vec<_>>(), [&id("b")]);
    assert!(store.apply(Change::Delete(id("b"))));
    assert!(!store.apply(Change::Delete(id("b"))));
    assert_eq!(store.report(), []);
}

#[test]
fn a_rotated_key_moves_the_revision_and_an_equal_one_does_not() {
    let mut store = store_with(&["a"]);
    let revision = store.keys_revision();
    assert!(!store.apply(Change::Keys(Keys::from([(key_id(), Secret::from(b"sk-1".to_vec()))]))));
    assert!(store.apply(Change::Keys(Keys::from([(key_id(), Secret::from(b"sk-2".to_vec()))]))));
    assert_eq!(store.keys_revision(), revision + 1);
    assert_eq!(store.keys()[&key_id()].expose(), b"sk-2");
}

#[test]
fn a_key_that_vanishes_while_in_use_stays_and_is_reported() {
    let mut store = store_with(&["a"]);
    assert!(store.apply(Change::Keys(Keys::new())));
    assert_eq!(store.keys()[&key_id()].expose(), b"sk-1");
    assert!(object(&store, "a").refused.unwrap().contains("team-a_deepseek_api-key"));
    store.apply(Change::Delete(id("a")));
    assert!(store.keys().is_empty(), "nobody refers to it any more");
}

#[test]
fn a_build_that_came_to_nothing_leaves_everything_as_it_was() {
    let mut store = store_with(&["a", "b"]);
    store.apply(Change::Put(id("a"), Ok(backend("a", 2))));
    store.not_built("internal error");
    assert_eq!(object(&store, "a").generation, Some(1));
    assert_eq!(object(&store, "a").refused.as_deref(), Some("internal error"));
    assert_eq!(object(&store, "b").refused, None);
}
