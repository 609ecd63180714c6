//! Events: what `kubectl describe` tells of a resource as it happens.
//!
//! One recorder for all, as it folds repeats. Telling must never hold up the work: a queue of bounded length stands
//! between, and what does not fit is counted and left out. Status has it all anyway.

use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::status;
use deepseek_config::document::ObjectId;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Events that may wait.
const WAITING: usize = 256;
/// Longest note the API server takes.
const MAX_NOTE: usize = 1024;
/// How long writing one may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Where events go.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<(Event, ObjectReference)>,
    metrics: Arc<Metrics>,
}

/// The task that writes events.
pub struct Teller {
    receiver: mpsc::Receiver<(Event, ObjectReference)>,
    recorder: Recorder,
    leadership: Arc<Leadership>,
}

/// Events of the replica `identity`.
pub fn events(
    client: Client,
    identity: &str,
    leadership: Arc<Leadership>,
    metrics: Arc<Metrics>,
) -> (Events, Teller) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let reporter =
        Reporter { controller: "deepseek-operator".to_owned(), instance: Some(identity.to_owned()) };
    let recorder = Recorder::new(client, reporter);
    (Events { sender, metrics }, Teller { receiver, recorder, leadership })
}

impl Events {
    /// Tells that `condition` of `id` changed to what it is now.
    pub fn tell(&self, id: &ObjectId, uid: &str, condition: &Condition) {
        let type_ = if condition.status == "True" { EventType::Normal } else { EventType::Warning };
        let mut note = condition.message.clone();
        note.truncate(note.floor_char_boundary(MAX_NOTE));
        let event = Event {
            type_,
            reason: condition.reason.clone(),
            note: Some(note),
            action: format!("{}Changed", condition.type_),
            secondary: None,
        };
        let resource = status::api_resource(id.kind);
        let reference = ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            namespace: Some(id.namespace.clone()),
            name: Some(id.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        if self.sender.try_send((event, reference)).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

impl Teller {
    /// Writes events one after another, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return,
                told = self.receiver.recv() => told,
            };
            let Some((event, reference)) = told else { return };
            if self.leadership.check().is_err() {
                continue;
            }
            match tokio::time::timeout(TIMEOUT, self.recorder.publish(&event, &reference)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "failed to write an Event"),
                Err(_) => debug!("writing an Event took too long"),
            }
        }
    }
}
