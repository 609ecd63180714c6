use super::*;
use deepseek_config::document::Body;

const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: deepseek, namespace: team-a}
stringData: {api-key: sk-upstream-0123456789}
";

fn route(name: &str, model: &str) -> String {
    format!(
        "
---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: {name}, namespace: team-a}}
spec:
  model: {model}
  backends:
  - {{name: official, baseUrl: 'http://127.0.0.1:1', apiKey: {{secretRef: {{name: deepseek, key: api-key}}}}}}
"
    )
}

fn id(name: &str) -> ObjectId {
    ObjectId::new(Kind::Route, "team-a", name)
}

/// Updates `files` with texts by file name.
fn update<const N: usize>(files: &mut Files, texts: [(&str, String); N]) -> Compiled {
    let contents = texts.map(|(name, text)| (PathBuf::from(name), Ok(text)));
    files.update(contents.into()).expect("something changed")
}

fn lines(compiled: &Compiled) -> Vec<String> {
    compiled.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_route_and_its_secret_are_enough() {
    let compiled = update(&mut Files::default(), [("a.yaml", format!("{SECRET}{}", route("chat", "m")))]);
    assert_eq!(lines(&compiled), [""; 0]);
    assert!(compiled.objects[&id("chat")].is_ok());
    let gateway = compiled.objects[&ObjectId::new(Kind::Gateway, "default", "standalone")].as_ref().unwrap();
    let Body::Gateway(gateway) = &gateway.document.body else { panic!("a gateway") };
    assert_eq!((gateway.listeners[0].port, gateway.drain_delay_ms, gateway.pods), (8080, 0, 1));
    let values: Vec<_> = compiled.keys.values().map(Secret::expose).collect();
    assert_eq!(values, [b"sk-upstream-0123456789"]);
}

#[test]
fn a_file_that_is_no_yaml_keeps_its_objects() {
    let mut files = Files::default();
    update(&mut files, [("a.yaml", SECRET.to_owned()), ("b.yaml", route("chat", "m"))]);
    let compiled = update(&mut files, [("a.yaml", SECRET.to_owned()), ("b.yaml", "a: [".to_owned())]);
    assert!(lines(&compiled)[0].starts_with("b.yaml: "), "{:?}", lines(&compiled));
    assert!(compiled.objects[&id("chat")].as_ref().unwrap_err().contains("b.yaml cannot be read"));
    assert!(files.manifests[Path::new("b.yaml")].len() == 1, "kept for the next time");
}

#[test]
fn a_bad_document_does_not_touch_its_neighbours() {
    let mut files = Files::default();
    let good = format!("{SECRET}{}{}", route("chat", "m"), route("other", "model-2"));
    update(&mut files, [("a.yaml", good.clone())]);
    let compiled = update(&mut files, [("a.yaml", good.replace("model: m\n", "modell: m\n"))]);
    assert!(compiled.objects[&id("chat")].is_err());
    assert!(compiled.objects[&id("other")].is_ok());
    let seen = lines(&compiled);
    assert!(seen[0].starts_with("a.yaml: DeepSeekRoute/team-a/chat: "), "{seen:?}");
}

#[test]
fn what_the_compiler_refuses_is_told_with_file_object_and_field() {
    let compiled = update(&mut Files::default(), [("a.yaml", route("chat", "m"))]);
    let seen = lines(&compiled);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].starts_with("a.yaml: DeepSeekRoute/team-a/chat: "), "{seen:?}");
    assert!(seen[0].contains("deepseek"), "{seen:?}");
}

#[test]
fn an_object_defined_twice_is_told_and_the_first_counts() {
    let (first, second) = (format!("{SECRET}{}", route("chat", "m")), route("chat", "model-2"));
    let compiled = update(&mut Files::default(), [("a.yaml", first), ("b.yaml", second)]);
    assert_eq!(
        lines(&compiled),
        ["b.yaml: DeepSeekRoute/team-a/chat: already defined in a.yaml; remove one"]
    );
    let Body::Route(route) = &compiled.objects[&id("chat")].as_ref().unwrap().document.body else {
        panic!("a route")
    };
    assert_eq!(route.model, "m");
}

#[test]
fn the_assumed_gateway_has_the_name_that_routes_ask_for() {
    let asking = route("chat", "m")
        .replace("spec:", "spec:\n  gatewayRef: {name: default, namespace: deepseek-system}");
    let compiled = update(&mut Files::default(), [("a.yaml", format!("{SECRET}{asking}"))]);
    assert_eq!(lines(&compiled), [""; 0]);
    assert!(compiled.objects.contains_key(&ObjectId::new(Kind::Gateway, "deepseek-system", "default")));
}

#[test]
fn one_gateway_is_the_default_and_a_second_is_refused() {
    let gateway = |name| {
        format!(
            "---\napiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: {name}}}\nspec:\n  \
             listeners: [{{name: http, port: 9000, protocol: HTTP}}]\n"
        )
    };
    let text = format!("{SECRET}{}{}{}", route("chat", "m"), gateway("one"), gateway("two"));
    let compiled = update(&mut Files::default(), [("a.yaml", text)]);
    assert!(compiled.objects[&id("chat")].is_ok());
    let seen = lines(&compiled);
    assert!(seen.len() == 1 && seen[0].starts_with("a.yaml: DeepSeekGateway/default/two: "), "{seen:?}");
}

#[test]
fn unchanged_files_are_not_compiled_again() {
    let mut files = Files::default();
    update(&mut files, [("a.yaml", SECRET.to_owned())]);
    assert!(files.update(BTreeMap::from([(PathBuf::from("a.yaml"), Ok(SECRET.to_owned()))])).is_none());
}

#[test]
fn only_manifests_of_a_directory_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.yaml", "b.yml", "c.json", "d.txt", ".hidden.yaml"] {
        std::fs::write(directory.path().join(name), SECRET).unwrap();
    }
    std::fs::create_dir(directory.path().join("below.yaml")).unwrap();
    let read = files::read(&[directory.path().to_owned()]);
    let names: Vec<_> = read.keys().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["a.yaml", "b.yml", "c.json"]);
}

#[test]
fn checking_a_place_without_routes_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (problems, _) = check(&[directory.path().to_owned()]);
    assert!(problems.iter().next().unwrap().to_string().contains("no DeepSeekRoute"));
}

#[test]
fn a_directory_that_is_away_and_a_file_that_is_emptied_take_no_object_along() {
    let mut files = Files::default();
    let texts = || [("dir/a.yaml", SECRET.to_owned()), ("dir/b.yaml", route("chat", "m"))];
    update(&mut files, texts());
    let away = Contents::from([(PathBuf::from("dir"), Err("No such file or directory".to_owned()))]);
    let compiled = files.update(away).expect("something changed");
    assert!(lines(&compiled)[0].starts_with("dir: No such file"), "{:?}", lines(&compiled));
    assert!(compiled.objects.contains_key(&id("chat")));
    assert_eq!(lines(&update(&mut files, texts())), [""; 0]);
    let compiled = update(&mut files, [("dir/a.yaml", SECRET.to_owned()), ("dir/b.yaml", String::new())]);
    assert!(lines(&compiled)[0].contains("it is empty"), "{:?}", lines(&compiled));
    assert!(compiled.objects.contains_key(&id("chat")));
    let compiled = update(&mut files, [("dir/a.yaml", SECRET.to_owned())]);
    assert!(!compiled.objects.contains_key(&id("chat")), "a removed file takes its objects along");
}
