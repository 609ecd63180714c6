//! The workloads of gateways: a change by somebody else is put right, a deleted one is made anew.

use super::{Health, Relist, Subject, run};
use crate::cluster::Name;
use crate::cluster::children::ChildKind;
use crate::context::Context;
use deepseek_crds::labels;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt as _};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Watches our objects of `kind`.
pub fn children(
    cx: Arc<Context>,
    health: Arc<Health>,
    kind: ChildKind,
    namespace: Option<String>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let resource = kind.api_resource();
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(cx.client.clone(), namespace, &resource),
        None => Api::all_with(cx.client.clone(), &resource),
    };
    let selector = format!(
        "{}={},{}={}",
        labels::MANAGED_BY,
        labels::MANAGER,
        labels::COMPONENT,
        labels::COMPONENT_GATEWAY
    );
    let subject = Subject { kind: kind.as_str(), namespace, labels: Some(selector) };
    let mut list: Relist<Name> = Relist::default();
    let scope = subject.clone();
    run(api, &subject, health, stop, move |event: Event<DynamicObject>| {
        let children = &mut cx.cluster.lock().children;
        let concerned = match event {
            Event::Init => {
                list.begin();
                return;
            }
            Event::InitApply(object) | Event::Apply(object) => {
                list.saw(name(&object));
                children.put(kind, object).into_iter().collect()
            }
            Event::Delete(object) => children.remove(kind, &name(&object)).into_iter().collect(),
            Event::InitDone => {
                let known = children.names(kind).filter(|(namespace, _)| scope.covers(namespace));
                let gone = list.end(known.cloned().collect::<Vec<_>>());
                gone.iter().filter_map(|name| children.remove(kind, name)).collect::<Vec<_>>()
            }
        };
        cx.queue.add_all(concerned);
    })
}

fn name(object: &DynamicObject) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}
