//! The compiled documents: what is stored, so that what differs is written and what no longer belongs is collected.

use super::{Health, Relist, Subject, api, run};
use crate::cluster::Name;
use crate::cluster::documents::Stored;
use crate::context::Context;
use deepseek_crds::labels;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Watches our ConfigMaps.
pub fn documents(
    cx: Arc<Context>,
    health: Arc<Health>,
    namespace: Option<String>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let api = api::<ConfigMap>(&cx.client, namespace.as_deref());
    let selector = format!(
        "{}={},{}={}",
        labels::MANAGED_BY,
        labels::MANAGER,
        labels::COMPONENT,
        labels::COMPONENT_CONFIG
    );
    let subject = Subject { kind: "ConfigMap", namespace, labels: Some(selector) };
    let mut list: Relist<Name> = Relist::default();
    let scope = subject.clone();
    run(api, &subject, health, stop, move |event: Event<ConfigMap>| {
        let documents = &mut cx.cluster.lock().documents;
        let concerned = match event {
            Event::Init => {
                list.begin();
                return;
            }
            Event::InitApply(map) | Event::Apply(map) => {
                let name = name(&map);
                list.saw(name.clone());
                match Stored::read(&map) {
                    Some(stored) => documents.put(stored),
                    // Its labels were taken away: as good as gone.
                    None => documents.remove(&name).map(|stored| stored.owner).into_iter().collect(),
                }
            }
            Event::Delete(map) => {
                documents.remove(&name(&map)).map(|stored| stored.owner).into_iter().collect()
            }
            Event::InitDone => {
                let known = documents.names().filter(|(namespace, _)| scope.covers(namespace));
                let gone = list.end(known.cloned().collect::<Vec<_>>());
                gone.iter()
                    .filter_map(|name| documents.remove(name))
                    .map(|s| s.owner)
                    .collect::<BTreeSet<_>>()
            }
        };
        cx.queue.add_all(concerned);
    })
}

fn name(map: &ConfigMap) -> Name {
    (map.namespace().unwrap_or_default(), map.name_any())
}
