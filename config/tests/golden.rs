//! Golden cases: `golden/*.in.yaml` holds manifests as a user writes them, `*.out.yaml` what the compiler makes of them:
//! what could not be read, and of each resource the verdict and the documents. Key bytes show as `<n bytes>`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p deepseek-config` writes the `.out.yaml` files anew; read the difference before you
//! commit it. A case whose first line begins with `# unchecked` skips the schema: what the compiler must refuse by
//! itself, should anything have slipped past the API server.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

use deepseek_config::compile::{Compilation, Finding, Output};
use deepseek_config::manifest::{self, Manifest};
use deepseek_config::world::{Resource, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(".in.yaml")).collect();
    cases.sort();
    cases
}

fn out_of(case: &Path) -> PathBuf {
    PathBuf::from(case.to_string_lossy().replace(".in.yaml", ".out.yaml"))
}

#[test]
fn every_golden_case_compiles_to_what_is_checked_in() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = String::new();
    for case in cases() {
        let out = out_of(&case);
        let actual = run(&std::fs::read_to_string(&case).unwrap());
        if update {
            std::fs::write(&out, actual).unwrap();
        } else if std::fs::read_to_string(&out).ok().as_deref() != Some(actual.as_str()) {
            let name = out.file_name().unwrap().to_string_lossy();
            writeln!(failures, "{name} differs; the compiler now says:\n{actual}").unwrap();
        }
    }
    assert!(
        failures.is_empty(),
        "{failures}\nrun `UPDATE_GOLDEN=1 cargo test -p deepseek-config` if it should"
    );
}

#[test]
fn there_are_at_least_thirty_golden_cases() {
    assert!(cases().len() >= 30, "{}", cases().len());
}

#[test]
fn every_message_names_a_field_and_ends_with_a_full_stop() {
    for case in cases() {
        let out: Value = serde_saphyr::from_str(&run(&std::fs::read_to_string(&case).unwrap())).unwrap();
        let read = out["unreadable"].as_array().into_iter().flatten();
        let compiled = out["resources"].as_array().into_iter().flatten();
        let findings = compiled.flat_map(|resource| [&resource["accepted"], &resource["resolvedRefs"]]);
        for finding in findings.filter(|finding| finding["status"] == false).chain(read) {
            let message = finding["message"].as_str().unwrap();
            assert!(message.ends_with(['.', '?']), "{}: {message}", case.display());
            assert!(message.contains(": ") || message.contains(" is "), "{}: {message}", case.display());
            for secret in ["hunter2", "sk-12345678901234567890"] {
                assert!(!message.contains(secret), "{}: {message}", case.display());
            }
        }
    }
}

fn run(input: &str) -> String {
    let read =
        if input.starts_with("# unchecked") { unchecked(input) } else { manifest::read(input).unwrap() };
    let mut world = World::default();
    let (mut unreadable, mut grants, mut secrets) = (Vec::new(), Vec::new(), BTreeMap::new());
    for document in read {
        match document {
            Ok(Manifest::Resource(resource)) => drop(world.apply(resource)),
            Ok(Manifest::Grant(grant)) => grants.push(*grant),
            Ok(Manifest::Secret { namespace, name, data }) => drop(secrets.insert((namespace, name), data)),
            Err(wrong) => unreadable.push(json!({"subject": wrong.subject, "message": wrong.message})),
        }
    }
    world.set_grants(grants);
    for (namespace, name) in world.unread_secrets() {
        let data = secrets.remove(&(namespace.clone(), name.clone()));
        world.set_secret(&namespace, &name, data);
    }
    let resources: Vec<Value> = world
        .ids()
        .iter()
        .map(|id| {
            let Compilation { verdict, outputs } = world.compile(id).unwrap();
            json!({
                "id": id,
                "accepted": finding(&verdict.accepted),
                "resolvedRefs": finding(&verdict.resolved_refs),
                "outputs": outputs.iter().map(output).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut out = json!({"resources": resources});
    if !unreadable.is_empty() {
        out["unreadable"] = unreadable.into();
    }
    serde_saphyr::to_string(&out).unwrap()
}

fn unchecked(input: &str) -> Vec<Result<Manifest, manifest::Unreadable>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(input).unwrap();
    let resource = |document: Value| match document["kind"].as_str().unwrap() {
        "DeepSeekGateway" => Resource::Gateway(Arc::new(serde_json::from_value(document).unwrap())),
        "DeepSeekBackend" => Resource::Backend(Arc::new(serde_json::from_value(document).unwrap())),
        "DeepSeekConsumer" => Resource::Consumer(Arc::new(serde_json::from_value(document).unwrap())),
        "DeepSeekRoute" => Resource::Route(Arc::new(serde_json::from_value(document).unwrap())),
        other => panic!("no {other} in an unchecked case"),
    };
    documents.into_iter().map(|document| Ok(Manifest::Resource(resource(document)))).collect()
}

fn finding(finding: &Finding) -> Value {
    json!({"status": finding.ok, "reason": finding.reason.as_str(), "message": finding.message})
}

fn output(output: &Output) -> Value {
    let keys: BTreeMap<_, _> =
        output.keys.iter().map(|(id, value)| (id.as_str(), format!("<{} bytes>", value.len()))).collect();
    json!({"gateway": output.gateway, "document": output.document, "keys": keys})
}
