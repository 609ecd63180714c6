//! Every manifest that the repository shows to its users is complete and right: the examples and the YAML in the docs.

use std::{collections::BTreeMap, fs, path::PathBuf};

use crate::repository;
use deepseek_tests::manifests::{Manifests, documents};

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(repository().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    found.sort();
    found
}

/// Compiles `yaml` on a cluster as the chart leaves it and says what is wrong.
fn problems(yaml: &str) -> Vec<String> {
    let mut manifests = Manifests::with_default_gateway().unwrap();
    let mut problems = Vec::new();
    for document in documents(yaml).unwrap() {
        problems.extend(manifests.add(&document).err().map(|error| format!("{error:#}")));
    }
    add_certificates(&mut manifests);
    for (id, verdict) in manifests.verdicts() {
        for finding in [verdict.accepted, verdict.resolved_refs] {
            if !finding.ok {
                problems.push(format!("{id}: {} {}", finding.reason.as_str(), finding.message));
            }
        }
    }
    problems
}

/// What tls.yaml tells its reader to create.
fn add_certificates(manifests: &mut Manifests) {
    let names = vec!["edge.example.com".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    let tls = BTreeMap::from([("tls.crt".to_owned(), certificate.clone()), ("tls.key".to_owned(), key)]);
    manifests.set_secret("deepseek-edge", "edge-certificate", tls);
    let authority = BTreeMap::from([("ca.crt".to_owned(), certificate)]);
    manifests.set_secret("deepseek-edge", "models-authority", authority);
}

#[test]
fn the_quickstart_compiles_without_a_problem() {
    let files = files("examples/quickstart", "yaml");
    let whole: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(problems(&whole.join("\n---\n")), Vec::<String>::new());
}

#[test]
fn every_example_compiles_without_a_problem() {
    let files = files("examples", "yaml");
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let yaml = fs::read_to_string(&file).unwrap();
        assert_eq!(problems(&yaml), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn every_manifest_in_the_documentation_has_only_fields_that_exist() {
    let mut pages = vec![repository().join("README.md"), repository().join("CONTRIBUTING.md")];
    pages.extend(files("docs", "md"));
    pages.extend(files("docs/adr", "md"));
    let mut seen = 0;
    for page in pages {
        for block in yaml_blocks(&fs::read_to_string(&page).unwrap()) {
            for document in documents(&block).unwrap() {
                if document["kind"].is_string() {
                    seen += 1;
                    let added = Manifests::with_default_gateway().unwrap().add(&document);
                    added.unwrap_or_else(|error| panic!("{}: {error:#}\n{block}", page.display()));
                }
            }
        }
    }
    assert!(seen > 0, "no manifest found");
}

/// The fenced YAML of a Markdown page.
fn yaml_blocks(page: &str) -> Vec<String> {
    let fenced = page.split("\n```yaml\n").skip(1);
    fenced.filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

#[test]
fn a_field_that_does_not_exist_is_found_wherever_it_stands() {
    let yaml = fs::read_to_string(repository().join("examples/quotas.yaml")).unwrap();
    let wrong = yaml.replace("concurrent: 20", "concurrent: 20, burst: 3");
    assert_ne!(wrong, yaml);
    let problems = problems(&wrong);
    assert!(problems.iter().any(|problem| problem.contains(".spec.quota[3].burst")), "{problems:?}");
}
