//! What a status is computed from: read from memory once, then pure.

use crate::cluster::Cluster;
use crate::cluster::accounts::Account;
use crate::cluster::children::ChildKind;
use crate::cluster::pods::Loaded;
use crate::gateway::names;
use crate::queue::Work;
use crate::reconcile::{Have, Owner, Plan};
use deepseek_config::compile::Verdict;
use deepseek_config::defaults;
use deepseek_config::document::{Body, Kind, ObjectId};
use deepseek_config::world::Resource;
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::{BackendHealth, BackendState, ListenerProtocol, RouteTraffic};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What a status is computed from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The generation that is looked at.
    pub generation: i64,
    /// What the compiler says.
    pub verdict: Verdict,
    /// Whether last good documents are in place.
    pub last_good: bool,
    /// What has to be there before its documents can be written.
    pub waits_for: Option<String>,
    /// Why its documents cannot be written.
    pub blocked: Option<(Reason, String)>,
    /// Gateways that have, or should have, a document of it.
    pub gateways: Vec<ObjectId>,
    /// What their pods say, summed.
    pub pods: Loaded,
    /// Accepted routes that use it.
    pub routes: i32,
    /// Its backends, as pods see them.
    pub backends: Vec<BackendHealth>,
    /// What it carries.
    pub traffic: Option<RouteTraffic>,
    /// Of a gateway: its workload.
    pub workload: Option<Workload>,
    /// Of a backend: its account as the pods see it.
    pub account: Account,
    /// Of a backend: whether a pod is to ask for its balance.
    pub watched: bool,
    /// Of a backend: whether every pod is told that it is out of balance.
    pub denied: bool,
}

/// The workload of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Where clients reach it.
    pub address: String,
    /// Ready pods.
    pub ready: u32,
    /// Pods the Deployment asks for.
    pub wanted: u32,
    /// Fewest pods it should have.
    pub min: u32,
}

/// Gathers what is known of `plan`'s resource.
pub fn gather(cluster: &Cluster, plan: &Plan, owner: &Owner, have: &Have) -> Facts {
    let gateways: Vec<ObjectId> = if owner.verdict.ok() {
        plan.outputs.iter().map(|output| output.gateway.clone()).collect()
    } else {
        plan.keep.iter().map(|stored| stored.gateway.clone()).collect()
    };
    let mut pods = Loaded::default();
    for gateway in &gateways {
        let sha256 = have.documents.iter().find(|(of, _)| of == gateway).map(|(_, sha256)| sha256);
        let said = cluster
            .pods
            .loaded(gateway, &plan.id, |object| sha256.is_some() && object.sha256.as_ref() == sha256);
        pods.ready += said.ready;
        pods.current += said.current;
        pods.refused = pods.refused.or(said.refused);
    }
    let is_backend = plan.id.kind == Kind::Backend;
    let account = if is_backend { cluster.pods.account(&gateways, &plan.id) } else { Account::default() };
    let waits_for = have.waits_for.as_ref().map(|work| match work {
        Work::Keys(gateway) => format!("the projected keys of {gateway}"),
        Work::Resource(id) => id.to_string(),
    });
    Facts {
        generation: owner.known.generation,
        verdict: owner.verdict.clone(),
        last_good: !plan.keep.is_empty(),
        waits_for,
        blocked: have.blocked.clone(),
        pods,
        routes: i32::try_from(cluster.desired.routes(&plan.id)).unwrap_or(i32::MAX),
        backends: backends(cluster, plan, &gateways),
        traffic: cluster.traffic.of(&plan.id).cloned(),
        workload: workload(cluster, &plan.id),
        account,
        watched: is_backend && !gateways.is_empty() && watched(plan),
        denied: denied(plan),
        gateways,
    }
}

/// Each backend of a route in its worst state. One that no pod tells of is healthy: it was not tried yet.
fn backends(cluster: &Cluster, plan: &Plan, gateways: &[ObjectId]) -> Vec<BackendHealth> {
    if plan.id.kind != Kind::Route {
        return Vec::new();
    }
    let mut backends: Vec<BackendHealth> = Vec::new();
    let documents = plan.outputs.iter().filter_map(|output| match &output.document.body {
        Body::Route(route) => Some(route),
        _ => None,
    });
    for backend in documents.flat_map(|route| &route.backends) {
        let name = backend.name.clone();
        backends.push(BackendHealth { name, state: BackendState::Healthy, reason: None, since: None });
    }
    let fixed = !backends.is_empty();
    for report in gateways.iter().flat_map(|gateway| cluster.pods.backends(gateway, &plan.id)) {
        let since = report.since.as_deref().and_then(|text| text.parse().ok()).map(Time);
        let new = BackendHealth {
            name: report.name.clone(),
            state: report.state,
            reason: report.reason.clone(),
            since: since.filter(|_| report.state != BackendState::Healthy),
        };
        match backends.iter_mut().find(|backend| backend.name == report.name) {
            Some(old) if new.state > old.state => *old = new,
            // Only the last good document is there: pods know its backends.
            None if !fixed => backends.push(new),
            _ => {}
        }
    }
    backends
}

/// Whether the balance is asked for. What is refused may have asked for it as well: its last good documents are served.
fn watched(plan: &Plan) -> bool {
    plan.outputs.is_empty()
        || plan.outputs.iter().any(|output| match &output.document.body {
            Body::Backend(backend) => backend.balance.is_some(),
            _ => false,
        })
}

fn denied(plan: &Plan) -> bool {
    plan.keep.iter().any(|stored| stored.parked)
        || plan
            .outputs
            .iter()
            .any(|output| matches!(&output.document.body, Body::Backend(backend) if backend.parked))
}

fn workload(cluster: &Cluster, id: &ObjectId) -> Option<Workload> {
    let Resource::Gateway(gateway) = cluster.world.get(id)? else { return None };
    let (name, port, protocol) = match gateway.spec.listeners.first() {
        Some(listener) => (listener.name.as_str(), listener.port, listener.protocol),
        None => (defaults::LISTENER.0, i32::from(defaults::LISTENER.1), defaults::LISTENER.2),
    };
    let _ = name;
    let scheme = match protocol {
        ListenerProtocol::HTTP => "http",
        ListenerProtocol::HTTPS => "https",
    };
    let deployment = (id.namespace.clone(), names::workload(&id.name));
    let deployment = cluster.children.get(ChildKind::Deployment, &deployment);
    let wanted = deployment.and_then(|child| child.object.data.pointer("/spec/replicas")?.as_u64());
    let (min, _) = defaults::replicas(gateway.spec.replicas.as_ref());
    let min = u32::try_from(min).unwrap_or(1);
    Some(Workload {
        address: format!("{scheme}://{}.{}.svc:{port}/v1", names::service(&id.name), id.namespace),
        ready: cluster.pods.ready(id),
        wanted: wanted.and_then(|n| u32::try_from(n).ok()).unwrap_or(min).max(min),
        min,
    })
}
