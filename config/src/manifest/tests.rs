//! What reading makes of documents. The golden cases hold more of it.

use super::{Manifest, Unreadable, read};
use crate::document::{Kind, ObjectId};

fn one(text: &str) -> Result<Manifest, Unreadable> {
    let mut all = read(text).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

const ROUTE: &str = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {name: chat, namespace: team-a}
spec:
  model: deepseek-v4-pro
  backends:
  - {name: official, baseUrl: http://127.0.0.1:1, apiKey: {secretRef: {name: deepseek, key: api-key}}}
";

#[test]
fn documents_of_a_file_are_read_one_by_one() {
    let text = format!("# nothing\n---\n{ROUTE}\n---\nkind: DeepSeekRoute\n---\n{ROUTE}");
    let read = read(&text).unwrap();
    let subjects: Vec<_> = read
        .iter()
        .map(|one| one.as_ref().map_or_else(|wrong| wrong.subject.clone(), Manifest::subject))
        .collect();
    assert_eq!(subjects, ["DeepSeekRoute/team-a/chat", "document 2", "DeepSeekRoute/team-a/chat"]);
}

#[test]
fn json_and_lists_are_read_and_foreign_kinds_passed_over() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deepseek"},
         "data": {"a": "c2stMQ=="}, "stringData": {"b": "sk-2"}}]}"#;
    let Ok(Manifest::Secret { namespace, name, data }) = one(text) else { panic!("a Secret") };
    assert_eq!((namespace.as_str(), name.as_str()), ("default", "deepseek"));
    assert_eq!((data["a"].as_slice(), data["b"].as_slice()), (&b"sk-1"[..], &b"sk-2"[..]));
}

#[test]
fn an_unknown_field_is_named() {
    let wrong =
        one(&ROUTE.replace("model:", "aliases: []\n  failvoer: {attempts: 2}\n  model:")).unwrap_err();
    assert_eq!(wrong.message, "spec.failvoer: there is no such field. Did you mean failover?");
    assert_eq!(wrong.id, Some(ObjectId::new(Kind::Route, "team-a", "chat")));
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    let text = ROUTE.replace("{secretRef: {name: deepseek, key: api-key}}", "sk-very-secret");
    let wrong = one(&text).unwrap_err();
    assert!(wrong.message.starts_with("spec.backends[0].apiKey: "), "{}", wrong.message);
    assert!(!wrong.message.contains("very-secret"), "{}", wrong.message);
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {k: sk-very-secret!}}";
    assert!(!one(secret).unwrap_err().message.contains("very-secret"));
}

#[test]
fn what_is_no_yaml_is_refused_without_showing_the_source() {
    let wrong = read("a: [sk-very-secret\nb: }").unwrap_err();
    assert!(!wrong.contains("very-secret"), "{wrong}");
}

#[test]
fn wrong_kinds_versions_and_names_say_what_to_write() {
    let kind = one(&ROUTE.replace("kind: DeepSeekRoute", "kind: DeepseekRoute")).unwrap_err();
    assert!(kind.message.contains("DeepSeekRoute"), "{}", kind.message);
    let version = one(&ROUTE.replace("v1alpha1", "v1")).unwrap_err();
    assert!(version.message.contains("Use deepseekroute.io/v1alpha1"), "{}", version.message);
    let name = one(&ROUTE.replace("name: chat, ", "")).unwrap_err();
    assert!(name.message.contains("metadata.name"), "{}", name.message);
}
