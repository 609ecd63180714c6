//! The charts as `helm` sees them, without a cluster: lint, rendered manifests, values and their documentation.
//!
//! `charts/tests/CASE.values.yaml` renders to `CASE.out.yaml`; `UPDATE_GOLDEN=1` writes what is rendered now.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use deepseek_tests::manifests;
use serde_json::Value;

const OPERATOR: &str = "deepseek-operator";
const DEFINITIONS: &str = "deepseek-operator-crds";
const SHORT_OF_DEFINITIONS: &str = "helm install deepseek-operator-crds";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart(name: &str) -> PathBuf {
    repository().join("charts").join(name)
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn helm(args: &[&str]) -> Output {
    let program = kubernetes_assets::program("helm").unwrap();
    let home = tempfile::tempdir().unwrap();
    Command::new(program)
        .args(args)
        .current_dir(repository().join("charts"))
        .env("HOME", home.path())
        .env_remove("KUBECONFIG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn render(chart: &str, args: &[&str]) -> Result<String, String> {
    let output = helm(&[&["template", OPERATOR, chart, "--namespace", "deepseek-system"], args].concat());
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn documents(yaml: &str) -> Vec<Value> {
    manifests::documents(yaml).unwrap()
}

#[test]
fn both_charts_pass_a_strict_lint() {
    for name in [OPERATOR, DEFINITIONS] {
        let output = helm(&["lint", "--strict", name]);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn the_operator_chart_renders_as_recorded() {
    let mut stale = Vec::new();
    for entry in fs::read_dir(repository().join("charts/tests")).unwrap() {
        let values = entry.unwrap().path();
        let Some(case) = values.to_str().unwrap().strip_suffix(".values.yaml") else { continue };
        let rendered = render(OPERATOR, &["--values", values.to_str().unwrap()]).unwrap();
        let recorded = PathBuf::from(format!("{case}.out.yaml"));
        if updating() {
            fs::write(&recorded, &rendered).unwrap();
        } else if fs::read_to_string(&recorded).unwrap_or_default() != rendered {
            stale.push(recorded);
        }
    }
    assert_eq!(stale, Vec::<PathBuf>::new(), "see the difference with: UPDATE_GOLDEN=1 cargo test, git diff");
}

#[test]
fn the_definitions_chart_holds_what_is_generated_from_the_types() {
    for (file, _) in deepseek_crds::all() {
        let generated = deepseek_crds::yaml(file).unwrap();
        let copy = chart(DEFINITIONS).join("files").join(file);
        if updating() {
            fs::write(&copy, &generated).unwrap();
        }
        let held = fs::read_to_string(&copy).unwrap_or_default();
        assert!(
            held == generated,
            "{file} is stale: UPDATE_GOLDEN=1 cargo test -p deepseek-tests --test charts"
        );
    }
    let files = fs::read_dir(chart(DEFINITIONS).join("files")).unwrap().count();
    assert_eq!(files, deepseek_crds::all().len(), "a file without a kind");
}

#[test]
fn the_definitions_chart_changes_nothing_but_labels_and_annotations() {
    for (args, policy) in [(&[][..], Some("keep")), (&["--set", "keep=false"][..], None)] {
        let mut rendered = documents(&render(DEFINITIONS, args).unwrap());
        for document in &mut rendered {
            let metadata = document["metadata"].as_object_mut().unwrap();
            assert!(metadata.remove("labels").is_some());
            let annotations = metadata.remove("annotations").unwrap_or_default();
            assert_eq!(annotations["helm.sh/resource-policy"].as_str(), policy, "with {args:?}");
        }
        let mut generated: Vec<Value> = deepseek_crds::all()
            .into_iter()
            .flat_map(|(file, _)| documents(&deepseek_crds::yaml(file).unwrap()))
            .collect();
        generated.sort_by_key(|document| document["metadata"]["name"].to_string());
        assert_eq!(rendered, generated);
    }
}

#[test]
fn a_misspelt_value_is_refused_by_name() {
    for (chart, misspelt) in [
        (OPERATOR, "replica=3"),
        (OPERATOR, "gateway.created=false"),
        (OPERATOR, "logLevel=loud"),
        (DEFINITIONS, "kept=true"),
    ] {
        let refusal = render(chart, &["--set", misspelt]).unwrap_err();
        let (path, _) = misspelt.split_once('=').unwrap();
        let name = path.rsplit('.').next().unwrap();
        assert!(refusal.contains(name), "{misspelt}: {refusal}");
    }
}

#[test]
fn a_cluster_without_the_definitions_is_told_how_to_get_them() {
    // Only a real cluster names kinds as well as versions.
    let refusal = render(OPERATOR, &["--api-versions", "v1/Namespace"]).unwrap_err();
    assert!(refusal.contains(SHORT_OF_DEFINITIONS), "{refusal}");
    let complete = ["--api-versions", "v1/Namespace,deepseekroute.io/v1alpha1/DeepSeekGateway"];
    assert!(render(OPERATOR, &complete).is_ok());
}

#[test]
fn every_value_is_in_the_schema_and_in_the_readme() {
    for name in [OPERATOR, DEFINITIONS] {
        let read = |file: &str| fs::read_to_string(chart(name).join(file)).unwrap();
        let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
        let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
        let mut paths = Vec::new();
        leaves(&schema, &values, "", &mut paths);
        let readme = read("README.md");
        let mut documented: Vec<&str> =
            readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        // A parsed map has lost the order of the file.
        documented.sort_unstable();
        paths.sort();
        assert_eq!(documented, paths, "values.yaml of {name} beside the table in its README");
    }
}

/// The paths of the values a user sets one by one; each must be in the schema, and nothing else may be in it.
fn leaves(schema: &Value, values: &Value, path: &str, into: &mut Vec<String>) {
    let properties = schema["properties"].as_object();
    match (properties, values.as_object()) {
        (Some(properties), Some(values)) if path != "resources" => {
            let mut known: Vec<&String> = properties.keys().filter(|key| *key != "global").collect();
            let mut given: Vec<&String> = values.keys().collect();
            known.sort();
            given.sort();
            assert_eq!(known, given, "schema and values.yaml at {path:?}");
            for (key, value) in values {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&properties[key], value, &path, into);
            }
        }
        // Passed through as a whole.
        _ => into.push(path.to_owned()),
    }
}
