//! Generated and hand-written documents keep up with the types.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const REGENERATE: &str =
    "cargo run -p deepseek-crds --bin crdgen crds/yaml charts/deepseek-operator-crds/files";

#[test]
fn the_checked_in_definitions_are_those_of_the_types() {
    for (file, _) in deepseek_crds::all() {
        let fresh = deepseek_crds::yaml(file).unwrap();
        assert!(read(&format!("crds/yaml/{file}")) == fresh, "crds/yaml/{file} is stale; run `{REGENERATE}`");
    }
    let files = std::fs::read_dir(root().join("crds/yaml")).unwrap().count();
    assert_eq!(files, deepseek_crds::all().len(), "crds/yaml holds a file that no type makes");
}

#[test]
fn the_api_reference_is_that_of_the_types() {
    let command = "cargo run -p deepseek-crds --bin crdgen -- --docs docs/api.md";
    assert!(read("docs/api.md") == deepseek_crds::reference(), "docs/api.md is stale; run `{command}`");
}
