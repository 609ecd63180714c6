//! Every write to the API server goes through here: only as leader, with a time limit, counted, its failure named.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::metrics::Write;
use deepseek_crds::labels;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// How long one request may take. Shorter than what is left of a Lease when [`crate::leader`] stops writing.
pub const TIMEOUT: Duration = Duration::from_secs(4);

/// What is written where.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Kind, for metrics and errors.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl Target<'_> {
    fn failed(&self, verb: &'static str, source: kube::Error) -> Error {
        let (namespace, name) = (self.namespace.to_owned(), self.name.to_owned());
        Error::Write { verb, kind: self.kind, namespace, name, source }
    }

    async fn limit<T>(&self, verb: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
        let Ok(answer) = tokio::time::timeout(TIMEOUT, call).await else {
            let (namespace, name) = (self.namespace.to_owned(), self.name.to_owned());
            return Err(Error::Timeout { verb, kind: self.kind, namespace, name });
        };
        answer.map_err(|source| self.failed(verb, source))
    }
}

/// Name of the field manager of `controller`.
pub fn manager(controller: &str) -> String {
    format!("{}-{controller}", labels::MANAGER)
}

/// What became of a creation.
#[derive(Debug)]
pub enum Created<K> {
    /// It is there now.
    New(K),
    /// There was one of that name already.
    Taken,
}

/// Creates an object that must not exist yet.
pub async fn create<K>(
    cx: &Context,
    api: &Api<K>,
    target: &Target<'_>,
    controller: &str,
    object: &K,
) -> Result<Created<K>>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    cx.leadership.check()?;
    let params = PostParams { field_manager: Some(manager(controller)), ..PostParams::default() };
    match target.limit("create", api.create(&params, object)).await {
        Ok(object) => {
            cx.metrics.wrote(target.kind, "created");
            Ok(Created::New(object))
        }
        Err(Error::Write { source: kube::Error::Api(status), .. }) if status.reason == "AlreadyExists" => {
            cx.metrics.wrote(target.kind, "conflict");
            Ok(Created::Taken)
        }
        Err(error) => {
            cx.metrics.wrote(target.kind, "error");
            Err(error)
        }
    }
}

/// Applies an object server-side, taking over the fields it names.
pub async fn apply<K, P>(
    cx: &Context,
    api: &Api<K>,
    target: &Target<'_>,
    controller: &str,
    object: &P,
) -> Result<K>
where
    K: Clone + Debug + DeserializeOwned,
    P: Serialize + Debug,
{
    cx.leadership.check()?;
    let params = PatchParams::apply(&manager(controller)).force();
    let answer = target.limit("apply", api.patch(target.name, &params, &Patch::Apply(object))).await;
    cx.metrics.wrote(target.kind, if answer.is_ok() { "updated" } else { "error" });
    answer
}

/// Sets the fields that `object` names to exactly what it says, lists included.
pub async fn merge<K, P>(
    cx: &Context,
    api: &Api<K>,
    target: &Target<'_>,
    controller: &str,
    object: &P,
) -> Result<K>
where
    K: Clone + Debug + DeserializeOwned,
    P: Serialize + Debug,
{
    cx.leadership.check()?;
    let params = PatchParams { field_manager: Some(manager(controller)), ..PatchParams::default() };
    let answer = target.limit("patch", api.patch(target.name, &params, &Patch::Merge(object))).await;
    cx.metrics.wrote(target.kind, if answer.is_ok() { "updated" } else { "error" });
    answer
}

/// Deletes the object with `uid` or, without one, whatever is there. One that is gone already is fine.
pub async fn delete<K>(cx: &Context, api: &Api<K>, target: &Target<'_>, uid: Option<String>) -> Result<()>
where
    K: Clone + Debug + DeserializeOwned,
{
    cx.leadership.check()?;
    let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::background() };
    match target.limit("delete", api.delete(target.name, &params)).await {
        Ok(_) => {
            cx.metrics.wrote(target.kind, "deleted");
            Ok(())
        }
        // Gone, or another object of that name by now.
        Err(Error::Write { source: kube::Error::Api(status), .. }) if [404, 409].contains(&status.code) => {
            Ok(())
        }
        Err(error) => {
            cx.metrics.wrote(target.kind, "error");
            Err(error)
        }
    }
}

/// Reads an object; `None` when there is none.
pub async fn read<K>(api: &Api<K>, target: &Target<'_>) -> Result<Option<K>>
where
    K: Clone + Debug + DeserializeOwned,
{
    target.limit("read", api.get_opt(target.name)).await
}

/// How a status is written.
#[derive(Clone, Copy, Debug)]
pub enum StatusPatch<'a> {
    /// Applied server-side.
    Apply(&'a serde_json::Value),
    /// Merged: the API server applies nothing to an object that does not fit its definition.
    Merge(&'a serde_json::Value),
}

/// Writes the status of a custom resource. `None` when the resource is gone, or made anew.
pub async fn status(
    cx: &Context,
    api: &Api<DynamicObject>,
    target: &Target<'_>,
    controller: &str,
    status: StatusPatch<'_>,
) -> Result<Option<DynamicObject>> {
    cx.leadership.check()?;
    let manager = format!("{}-status", manager(controller));
    let (params, patch) = match status {
        StatusPatch::Apply(patch) => (PatchParams::apply(&manager).force(), Patch::Apply(patch)),
        StatusPatch::Merge(patch) => {
            (PatchParams { field_manager: Some(manager), ..PatchParams::default() }, Patch::Merge(patch))
        }
    };
    let call = api.patch_status(target.name, &params, &patch);
    let answer = target.limit("patch the status of", call).await;
    let (result, answer) = match answer {
        Ok(object) => ("changed", Ok(Some(object))),
        Err(Error::Write { source: kube::Error::Api(status), .. }) if [404, 409].contains(&status.code) => {
            ("conflict", Ok(None))
        }
        Err(error) => ("error", Err(error)),
    };
    cx.metrics.status_writes.get_or_create(&Write { kind: target.kind, result }).inc();
    answer
}

/// Whether `meta` carries our label: whatever does not is somebody else's.
pub fn is_ours<K: Resource>(object: &K) -> bool {
    let found = object.meta().labels.as_ref();
    found.and_then(|l| l.get(labels::MANAGED_BY)).is_some_and(|manager| manager == labels::MANAGER)
}
