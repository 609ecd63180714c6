use super::super::testing::{backend, id, key_id};
use super::*;
use k8s_openapi::ByteString;
use kube::api::ObjectMeta;

fn config_map(name: &str, generation: i64) -> ConfigMap {
    let encoded = backend(name, generation).document.encode().unwrap();
    let data = [(labels::CONFIG_KEY, encoded.json), (labels::DIGEST_KEY, encoded.sha256)];
    let owner = [
        (labels::OWNER_KIND, "DeepSeekBackend"),
        (labels::OWNER_NAMESPACE, "team-a"),
        (labels::OWNER_NAME, name),
    ];
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("default-dsb-team-a-{name}")),
            labels: Some(owner.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
        ..ConfigMap::default()
    }
}

fn secret(value: &str) -> KubernetesSecret {
    let data = BTreeMap::from([(key_id().as_str().to_owned(), ByteString(value.into()))]);
    KubernetesSecret { data: Some(data), ..KubernetesSecret::default() }
}

/// Both watches have listed: one ConfigMap `a` and the Secret.
fn begun() -> State {
    let mut state = State::default();
    state.config_map(Event::Init);
    state.config_map(Event::InitApply(config_map("a", 1)));
    state.config_map(Event::InitDone);
    state.secret(Event::Init);
    state.secret(Event::InitApply(secret("sk-1")));
    assert!(matches!(state.secret(Event::InitDone), Some(Change::All { .. })));
    state
}

#[test]
fn nothing_is_said_until_both_watches_have_listed() {
    let mut state = State::default();
    assert!(state.config_map(Event::Init).is_none());
    assert!(state.config_map(Event::InitApply(config_map("a", 1))).is_none());
    assert!(state.config_map(Event::InitApply(config_map("b", 1))).is_none());
    assert!(state.config_map(Event::InitDone).is_none());
    assert!(state.config_map(Event::Apply(config_map("a", 2))).is_none());
    assert!(state.config_map(Event::Delete(config_map("b", 1))).is_none());
    assert!(state.secret(Event::Init).is_none());
    assert!(state.secret(Event::InitApply(secret("sk-1"))).is_none());
    let Some(Change::All { objects, keys }) = state.secret(Event::InitDone) else { panic!("a whole list") };
    assert_eq!(objects, BTreeMap::from([(id("a"), Ok(backend("a", 2)))]));
    assert_eq!(keys.unwrap()[&key_id()].expose(), b"sk-1");
}

#[test]
fn a_gateway_without_any_key_begins_without_the_secret() {
    let mut state = State::default();
    state.secret(Event::Init);
    assert!(state.secret(Event::InitDone).is_none());
    state.config_map(Event::Init);
    assert!(matches!(state.config_map(Event::InitDone), Some(Change::All { keys: None, .. })));
}

#[test]
fn later_events_are_single_changes() {
    let mut state = begun();
    let changed = state.config_map(Event::Apply(config_map("a", 2)));
    assert!(
        matches!(changed, Some(Change::Put(of, Ok(loaded))) if of == id("a") && loaded == backend("a", 2))
    );
    assert!(matches!(state.secret(Event::Apply(secret("sk-2"))), Some(Change::Keys(_))));
    assert!(state.secret(Event::Delete(secret("sk-2"))).is_none(), "the last keys stay");
    assert!(
        matches!(state.config_map(Event::Delete(config_map("a", 2))), Some(Change::Delete(of)) if of == id("a"))
    );
}

#[test]
fn a_list_after_an_outage_is_a_whole_list_again() {
    let mut state = begun();
    state.config_map(Event::Init);
    state.config_map(Event::InitApply(config_map("b", 1)));
    let Some(Change::All { objects, .. }) = state.config_map(Event::InitDone) else { panic!("a whole list") };
    assert_eq!(objects.into_keys().collect::<Vec<_>>(), [id("b")]);
}

#[test]
fn a_corrupt_config_map_is_refused_alone_and_by_name() {
    let mut corrupt = config_map("a", 2);
    corrupt.data.as_mut().unwrap().insert(labels::CONFIG_KEY.to_owned(), "{".to_owned());
    let change = begun().config_map(Event::Apply(corrupt));
    assert!(
        matches!(change, Some(Change::Put(of, Err(reason))) if of == id("a") && reason.contains("SHA-256"))
    );
    let mut empty = config_map("a", 2);
    empty.data = None;
    let change = begun().config_map(Event::Apply(empty));
    assert!(matches!(change, Some(Change::Put(_, Err(reason))) if reason.contains("config.json")));
}

#[test]
fn labels_and_content_must_name_the_same_resource() {
    let mut mislabelled = config_map("a", 2);
    mislabelled.labels_mut().insert(labels::OWNER_NAME.to_owned(), "b".to_owned());
    let change = begun().config_map(Event::Apply(mislabelled));
    assert!(matches!(change, Some(Change::Put(of, Err(_))) if of == id("b")));
}

#[test]
fn a_resource_that_moves_to_another_config_map_survives_the_deletion_of_the_first() {
    let mut state = begun();
    let mut moved = config_map("a", 2);
    moved.metadata.name = Some("elsewhere".to_owned());
    state.config_map(Event::Apply(moved));
    assert!(state.config_map(Event::Delete(config_map("a", 1))).is_none());
}

#[test]
fn changed_labels_cannot_hide_a_deletion() {
    let mut state = begun();
    let mut gone = config_map("a", 1);
    gone.metadata.labels = None;
    assert!(matches!(state.config_map(Event::Delete(gone)), Some(Change::Delete(of)) if of == id("a")));
}
