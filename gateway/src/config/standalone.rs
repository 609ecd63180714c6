//! Configuration from files: the same manifests, compiled by the same compiler, as in a cluster.
//!
//! Every reading compiles everything anew, which costs milliseconds and leaves nothing to go stale. What cannot be read
//! keeps its last good form: a file that is not YAML keeps all of its objects, a bad document only its own.

use super::files::{self, Changes, Contents};
use super::keys::{Keys, Secret};
use super::metrics::ConfigMetrics;
use super::store::{Change, Loaded, Reading};
use super::worker::Inbox;
use deepseek_config::compile::Finding;
use deepseek_config::document::{Kind, ObjectId};
use deepseek_config::manifest::{self, Manifest};
use deepseek_config::world::{Resource, World};
use deepseek_crds::reference_grant::ReferenceGrant;
use deepseek_crds::v1alpha1::{DeepSeekGateway, DeepSeekGatewaySpec, Drain, GatewayRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something wrong, printed as `path: Kind/namespace/name: field: message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The resource, or the place in the file.
    pub subject: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// What the files mean.
pub struct Compiled {
    /// Every object, and every secret value.
    pub objects: BTreeMap<ObjectId, Reading>,
    /// Every secret value that a document refers to.
    pub keys: Keys,
    /// What is wrong with them.
    pub problems: BTreeSet<Problem>,
}

/// The manifests in effect, by file.
#[derive(Default)]
pub struct Files {
    contents: Contents,
    manifests: BTreeMap<PathBuf, Vec<Manifest>>,
    /// Objects whose newest form could not be read, and why.
    unreadable: BTreeMap<ObjectId, String>,
    problems: BTreeSet<Problem>,
}

impl Files {
    /// Takes in what the files now hold. `None` when nothing has changed.
    pub fn update(&mut self, contents: Contents) -> Option<Compiled> {
        if contents == self.contents && !self.contents.is_empty() {
            return None;
        }
        let mut old = std::mem::take(&mut self.manifests);
        self.unreadable.clear();
        self.problems.clear();
        for (path, text) in &contents {
            let before = match text {
                Ok(_) => old.remove(path).unwrap_or_default(),
                // A directory that is away for a moment takes nothing along.
                Err(_) => {
                    old.extract_if(.., |file, _| file.starts_with(path)).flat_map(|(_, all)| all).collect()
                }
            };
            let manifests = self.read_file(path, text, before);
            self.manifests.insert(path.clone(), manifests);
        }
        self.contents = contents;
        Some(self.compile())
    }

    fn read_file(
        &mut self,
        path: &Path,
        text: &Result<String, String>,
        before: Vec<Manifest>,
    ) -> Vec<Manifest> {
        // Many programs empty a file before they write it: what it held stays until it holds something else, or is gone.
        let emptied = |text: &str| !before.is_empty() && text.trim().is_empty();
        let text = match text.as_deref() {
            Ok(text) if emptied(text) => Err("it is empty; remove the file to remove its objects".to_owned()),
            other => other.map_err(Clone::clone),
        };
        let documents = match text.and_then(manifest::read) {
            Ok(documents) => documents,
            Err(message) => {
                let reason = format!("{} cannot be read: {message}", path.display());
                for id in before.iter().filter_map(id_of) {
                    self.unreadable.insert(id, reason.clone());
                }
                self.problem(path, None, message);
                return before;
            }
        };
        let mut manifests = Vec::new();
        for document in documents {
            match document {
                Ok(manifest) => manifests.push(manifest),
                Err(wrong) => {
                    if let Some(id) = wrong.id {
                        manifests.extend(before.iter().find(|one| id_of(one).as_ref() == Some(&id)).cloned());
                        self.unreadable.insert(id, wrong.message.clone());
                    }
                    self.problem(path, Some(wrong.subject), wrong.message);
                }
            }
        }
        manifests
    }

    fn problem(&mut self, path: &Path, subject: Option<String>, message: String) {
        self.problems.insert(Problem { path: path.to_owned(), subject, message });
    }

    fn compile(&mut self) -> Compiled {
        let mut world = World::default();
        let mut places = BTreeMap::new();
        let mut taken = BTreeMap::new();
        let (mut secrets, mut grants, mut gateways) = (Vec::new(), Vec::new(), Vec::new());
        let mut wrong = Vec::new();
        for (path, manifest) in
            self.manifests.iter().flat_map(|(path, all)| all.iter().map(move |one| (path, one)))
        {
            let subject = manifest.subject();
            if let Some(first) = taken.insert(subject.clone(), path) {
                wrong.push((
                    path.clone(),
                    subject,
                    format!("already defined in {}; remove one", first.display()),
                ));
                continue;
            }
            match manifest {
                Manifest::Resource(Resource::Gateway(gateway)) => gateways.push((path, Arc::clone(gateway))),
                Manifest::Resource(resource) => {
                    places.insert(resource.id(), path.clone());
                    world.apply(resource.clone());
                }
                Manifest::Secret { namespace, name, data } => secrets.push((namespace, name, data)),
                Manifest::Grant(grant) => grants.push(ReferenceGrant::clone(grant)),
            }
        }
        let gateway = match gateways.split_first() {
            None => assumed_gateway(&world),
            Some(((path, gateway), others)) => {
                for (path, other) in others {
                    let subject = Resource::Gateway(Arc::clone(other)).id().to_string();
                    let message =
                        "a standalone process is one gateway; remove this one or start another process";
                    wrong.push(((*path).clone(), subject, message.to_owned()));
                }
                let resource = Resource::Gateway(Arc::clone(gateway));
                places.insert(resource.id(), (*path).clone());
                let mut only = DeepSeekGateway::clone(gateway);
                only.spec.default = Some(true);
                only
            }
        };
        let gateway = Resource::Gateway(Arc::new(gateway));
        let gateway_id = gateway.id();
        world.apply(gateway);
        world.set_pods(&gateway_id, 1);
        world.set_grants(grants);
        for (namespace, name, data) in secrets {
            world.set_secret(namespace, name, Some(data.clone()));
        }
        for (path, subject, message) in wrong {
            self.problem(&path, Some(subject), message);
        }
        self.collect(&world, &gateway_id, &places)
    }

    fn collect(
        &mut self,
        world: &World,
        gateway: &ObjectId,
        places: &BTreeMap<ObjectId, PathBuf>,
    ) -> Compiled {
        let (mut objects, mut keys) = (BTreeMap::new(), Keys::new());
        for id in world.ids() {
            let Some(compilation) = world.compile(&id) else { continue };
            let verdict = &compilation.verdict;
            let findings: Vec<&Finding> = [&verdict.accepted, &verdict.resolved_refs]
                .into_iter()
                .filter(|finding| !finding.ok)
                .collect();
            if !findings.is_empty() {
                let reasons: Vec<_> = findings.iter().map(|finding| finding.message.clone()).collect();
                let path = places.get(&id).cloned().unwrap_or_default();
                for reason in &reasons {
                    self.problem(&path, Some(id.to_string()), reason.clone());
                }
                objects.insert(id, Err(reasons.join("; ")));
                continue;
            }
            for output in compilation.outputs.into_iter().filter(|output| output.gateway == *gateway) {
                keys.extend(output.keys.into_iter().map(|(id, value)| (id, Secret::from(value))));
                let reading = match output.document.encode() {
                    Ok(encoded) => {
                        Ok(Loaded { document: Arc::new(output.document), sha256: encoded.sha256.into() })
                    }
                    Err(error) => Err(error.to_string()),
                };
                objects.insert(id.clone(), reading);
            }
        }
        for (id, reason) in &self.unreadable {
            objects.insert(id.clone(), Err(reason.clone()));
        }
        Compiled { objects, keys, problems: self.problems.clone() }
    }
}

/// Reads `paths`, hands their meaning to the store, and goes on doing so whenever they change.
pub fn start(paths: Vec<PathBuf>, inbox: Inbox, metrics: ConfigMetrics) -> anyhow::Result<()> {
    // Watched before they are read: a change in between is then not lost.
    let changes = Changes::watch(&paths)?;
    let mut files = Files::default();
    let mut known = BTreeSet::new();
    let mut load = move || {
        let Some(Compiled { objects, keys, problems }) = files.update(files::read(&paths)) else { return };
        for problem in problems.difference(&known) {
            let Problem { path, subject, message } = problem;
            let subject = subject.as_deref().unwrap_or_default();
            tracing::warn!(path = %path.display(), subject, problem = message, "refused, what was loaded before stays");
        }
        if !problems.is_empty() {
            metrics.reload_errors.inc();
        }
        tracing::info!(objects = objects.len(), problems = problems.len(), "files loaded");
        known = problems;
        inbox.send(Change::All { objects, keys: Some(keys) });
    };
    load();
    std::thread::Builder::new().name("files".to_owned()).spawn(move || {
        while changes.wait() {
            // A defect must not end the thread: the next change of the files may be free of it.
            let _ = catch_unwind(AssertUnwindSafe(&mut load));
        }
    })?;
    Ok(())
}

/// Compiles `paths` once and returns what is wrong with them, and how many objects they hold.
pub fn check(paths: &[PathBuf]) -> (BTreeSet<Problem>, usize) {
    let Some(mut compiled) = Files::default().update(files::read(paths)) else { return (BTreeSet::new(), 0) };
    if !compiled.objects.keys().any(|id| id.kind == Kind::Route) && compiled.problems.is_empty() {
        for path in paths {
            let message = "no DeepSeekRoute in it; files end in .yaml, .yml or .json".to_owned();
            compiled.problems.insert(Problem { path: path.clone(), subject: None, message });
        }
    }
    (compiled.problems, compiled.objects.len())
}

fn id_of(manifest: &Manifest) -> Option<ObjectId> {
    match manifest {
        Manifest::Resource(resource) => Some(resource.id()),
        Manifest::Secret { .. } | Manifest::Grant(_) => None,
    }
}

/// The gateway of files without one: it has the name that routes and consumers ask for, if they do, and does not
/// dawdle when told to leave, as no load balancer is in front of it.
fn assumed_gateway(world: &World) -> DeepSeekGateway {
    let asked = |id: &ObjectId| {
        let named = |reference: &Option<GatewayRef>, namespace: &str| {
            let reference = reference.as_ref()?;
            let namespace = reference.namespace.clone().unwrap_or_else(|| namespace.to_owned());
            Some((namespace, reference.name.clone()))
        };
        match world.get(id)? {
            Resource::Route(route) => named(&route.spec.gateway_ref, &id.namespace),
            Resource::Consumer(consumer) => named(&consumer.spec.gateway_ref, &id.namespace),
            Resource::Gateway(_) | Resource::Backend(_) => None,
        }
    };
    let asked = world.ids().iter().find_map(asked);
    let (namespace, name) = asked.unwrap_or_else(|| ("default".to_owned(), "standalone".to_owned()));
    DeepSeekGateway {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        spec: DeepSeekGatewaySpec {
            default: Some(true),
            drain: Some(Drain { delay: Some("0s".into()), timeout: None }),
            ..DeepSeekGatewaySpec::default()
        },
        status: None,
    }
}

#[cfg(test)]
#[path = "standalone_tests.rs"]
mod tests;
