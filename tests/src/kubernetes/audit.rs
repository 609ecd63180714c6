//! Who wrote what: the API server's audit log, read back.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

/// What is logged: every change asked for, once it was answered; reads are not.
pub(crate) const POLICY: &str = r"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
";

/// One change that somebody asked the API server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The user, for example `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// What the client called itself.
    pub user_agent: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The plural name, with the subresource: `configmaps`, `deepseekroutes/status`.
    pub resource: String,
    /// Empty for what belongs to no namespace.
    pub namespace: String,
    /// Empty when the request named none, as `create` may.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

/// Every write in the log so far, oldest first.
pub(crate) fn read(log: &Path) -> anyhow::Result<Vec<Write>> {
    let text = fs::read_to_string(log).with_context(|| format!("failed to read {}", log.display()))?;
    // A line that is still being written has no end yet and is left for the next reading.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            let event: Event =
                serde_json::from_str(line).context("the audit log has a line that is not an event")?;
            Ok(Write::from(event))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Event> for Write {
    fn from(event: Event) -> Self {
        let Event { verb, user, user_agent, object_ref, response_status } = event;
        let ObjectRef { resource, subresource, namespace, name } = object_ref;
        let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
        Self { user: user.username, user_agent, verb, resource, namespace, name, code: response_status.code }
    }
}
