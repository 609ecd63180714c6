//! Golden cases: `operator/tests/golden/<case>.in.yaml`, a DeepSeekGateway, becomes `<case>.out.yaml`, its objects.
//! With `UPDATE_GOLDEN=1` the expected files are written anew.

use super::{Input, children};
use crate::cluster::children::ChildKind;
use deepseek_config::document::Body;
use deepseek_config::world::{Resource, World};
use deepseek_crds::v1alpha1::DeepSeekGateway;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn objects(yaml: &str) -> Vec<(ChildKind, Option<Value>)> {
    let mut gateway: DeepSeekGateway = serde_saphyr::from_str(yaml).unwrap();
    gateway.metadata.uid = Some("0-0-0".to_owned());
    gateway.metadata.generation = Some(1);
    let spec = gateway.spec.clone();
    let resource = Resource::Gateway(Arc::new(gateway));
    let id = resource.id();
    let mut world = World::default();
    world.apply(resource);
    let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    for (namespace, name) in world.unread_secrets() {
        let data = ["tls.crt", "tls.key"].map(|key| (key.to_owned(), pem.into()));
        world.set_secret(&namespace, &name, Some(BTreeMap::from(data)));
    }
    let compilation = world.compile(&id).unwrap();
    let output = compilation.outputs.first().unwrap_or_else(|| panic!("refused: {:?}", compilation.verdict));
    let Body::Gateway(config) = &output.document.body else { panic!("{output:?}") };
    let input = Input {
        id: &id,
        uid: "0-0-0",
        spec: &spec,
        config,
        default_image: "example.org/deepseek-gateway:1.2.3",
        operator_namespace: "deepseek-system",
    };
    children(&input).unwrap().into_iter().map(|child| (child.kind, child.object)).collect()
}

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 4, "{cases:?}");
    cases
}

#[test]
fn each_golden_gateway_becomes_the_expected_objects() {
    for case in cases() {
        let made = objects(&std::fs::read_to_string(&case).unwrap());
        let documents: Vec<String> = made
            .iter()
            .filter_map(|(_, object)| object.as_ref())
            .map(|object| serde_saphyr::to_string(object).unwrap())
            .collect();
        let made = documents.join("---\n");
        let expected = PathBuf::from(case.to_string_lossy().replace(".in.yaml", ".out.yaml"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&expected, made).unwrap();
        } else {
            let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
            assert!(
                made == wanted,
                "{} differs; with UPDATE_GOLDEN=1 it is written anew:\n{made}",
                expected.display()
            );
        }
    }
}

const SMALL: &str = "
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {name: gw, namespace: ns}
spec: SPEC
";

fn deployment(spec: &str) -> Value {
    let made = objects(&SMALL.replace("SPEC", spec));
    made.into_iter().find(|(kind, _)| *kind == ChildKind::Deployment).and_then(|(_, object)| object).unwrap()
}

fn pod_template(spec: &str) -> Value {
    deployment(spec)["spec"]["template"].clone()
}

#[test]
fn an_autoscaler_owns_the_replicas_and_a_fixed_size_is_the_deployments() {
    assert!(deployment("{}")["spec"].get("replicas").is_none());
    assert_eq!(deployment("{replicas: {min: 3, max: 3}}")["spec"]["replicas"], 3);
}

#[test]
fn what_pods_load_as_they_run_makes_no_new_pods() {
    let hot =
        "{auth: {mode: None}, limits: {maxRequestBodyBytes: 4096}, logLevel: Debug, replicas: {min: 3}}";
    assert_eq!(pod_template("{}"), pod_template(hot));
    assert_ne!(pod_template("{}"), pod_template("{listeners: [{name: http, port: 9090, protocol: HTTP}]}"));
}

#[test]
fn pods_have_as_long_to_leave_as_the_drain_takes() {
    let template = pod_template("{drain: {delay: 7s, timeout: 90s}}");
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 7 + 90 + 5);
}

#[test]
fn a_single_pod_may_always_be_evicted() {
    let made = objects(&SMALL.replace("SPEC", "{replicas: {min: 1, max: 1}}"));
    let off: Vec<ChildKind> = made.into_iter().filter(|(_, o)| o.is_none()).map(|(kind, _)| kind).collect();
    assert_eq!(off, [ChildKind::PodDisruptionBudget, ChildKind::HorizontalPodAutoscaler]);
}
