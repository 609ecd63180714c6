//! Gateway pods: who is ready, and where to ask for a report.

use super::{Health, Relist, Subject, api, run};
use crate::cluster::pods::Pod;
use crate::cluster::{Cluster, Name};
use crate::context::Context;
use crate::queue::Work;
use deepseek_config::document::ObjectId;
use deepseek_crds::labels;
use k8s_openapi::api::core::v1 as core;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A pod that becomes ready or leaves changes the status of everything on its gateway. The pause lets its report, and
/// the next pod of a rollout, go into the same write.
const SETTLE: Duration = Duration::from_secs(1);

/// Watches the pods of gateways.
pub fn pods(
    cx: Arc<Context>,
    health: Arc<Health>,
    namespace: Option<String>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let api = api::<core::Pod>(&cx.client, namespace.as_deref());
    let selector = format!(
        "{}={},{}={}",
        labels::MANAGED_BY,
        labels::MANAGER,
        labels::COMPONENT,
        labels::COMPONENT_GATEWAY
    );
    let subject = Subject { kind: "Pod", namespace, labels: Some(selector) };
    let mut list: Relist<Name> = Relist::default();
    let mut listing = false;
    let scope = subject.clone();
    run(api, &subject, health, stop, move |event: Event<core::Pod>| {
        let mut cluster = cx.cluster.lock();
        let mut concerned = BTreeSet::new();
        match event {
            Event::Init => {
                listing = true;
                list.begin();
            }
            Event::InitApply(pod) | Event::Apply(pod) => {
                if let Some((name, pod)) = Pod::read(&pod) {
                    list.saw(name.clone());
                    concerned.extend(cluster.pods.put(&name, pod));
                }
            }
            Event::Delete(pod) => {
                let name = (pod.namespace().unwrap_or_default(), pod.name_any());
                concerned.extend(cluster.pods.remove(&name));
            }
            Event::InitDone => {
                listing = false;
                let known = cluster.pods.names().filter(|(namespace, _)| scope.covers(namespace));
                let gone = list.end(known.cloned().collect::<Vec<_>>());
                concerned.extend(gone.iter().filter_map(|name| cluster.pods.remove(name)));
                concerned.extend(cluster.pods.gateways());
            }
        }
        // Amid a list the count is that of a part: it would be told to the pods as everybody's.
        if !listing {
            for gateway in &concerned {
                settle(&cx, &mut cluster, gateway);
            }
        }
        drop(cluster);
        cx.pods_changed.notify_one();
    })
}

fn settle(cx: &Context, cluster: &mut Cluster, gateway: &ObjectId) {
    let ready = cluster.pods.ready(gateway);
    let poller = cluster.pods.poller(gateway).map(str::to_owned);
    let mut touched = cluster.world.set_pods(gateway, ready);
    touched.extend(cluster.world.set_balance_poller(gateway, poller));
    if touched.is_empty() {
        cx.queue.add_after(Work::Resource(gateway.clone()), SETTLE);
    } else {
        cx.queue.add(Work::Resource(gateway.clone()));
    }
    let owners: BTreeSet<&ObjectId> =
        cluster.documents.of_gateway(gateway).map(|stored| &stored.owner).collect();
    for owner in owners {
        cx.queue.add_after(Work::Resource(owner.clone()), SETTLE);
    }
}
