//! What the operator needs of the API server, and whether it has it.
//!
//! [`NEEDS`] is what the chart grants, no more and no less; a test compares the two. Missing permissions and missing
//! definitions are named in the log and on `/readyz`, and looked for again until they are there: a chart installs them
//! in its own order.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::discovery::oneshot;
use kube::{Api, Client};

/// Verbs on resources of one API group.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// The group.
    pub group: &'static str,
    /// Resources, with `/status` where that is meant.
    pub resources: &'static [&'static str],
    /// Verbs.
    pub verbs: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const OWN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// What the operator does in every namespace that it watches.
pub const NEEDS: &[Need] = &[
    Need {
        group: "deepseekroute.io",
        resources: &["deepseekroutes", "deepseekbackends", "deepseekgateways", "deepseekconsumers"],
        verbs: READ,
    },
    Need {
        group: "deepseekroute.io",
        resources: &[
            "deepseekroutes/status",
            "deepseekbackends/status",
            "deepseekgateways/status",
            "deepseekconsumers/status",
        ],
        verbs: &["patch"],
    },
    Need { group: "gateway.networking.k8s.io", resources: &["referencegrants"], verbs: READ },
    Need { group: "", resources: &["secrets", "configmaps", "services", "serviceaccounts"], verbs: OWN },
    Need { group: "apps", resources: &["deployments"], verbs: OWN },
    Need { group: "autoscaling", resources: &["horizontalpodautoscalers"], verbs: OWN },
    Need { group: "policy", resources: &["poddisruptionbudgets"], verbs: OWN },
    Need { group: "networking.k8s.io", resources: &["networkpolicies"], verbs: OWN },
    Need { group: "rbac.authorization.k8s.io", resources: &["roles", "rolebindings"], verbs: OWN },
    Need { group: "", resources: &["pods"], verbs: READ },
    Need { group: "events.k8s.io", resources: &["events"], verbs: &["create", "patch"] },
];

/// Questions asked at the same time.
const QUESTIONS: usize = 8;

/// What is missing, in words that say what to do. `namespaces` empty means all.
pub async fn missing(client: &Client, namespaces: &[String]) -> kube::Result<Vec<String>> {
    let mut missing = missing_definitions(client).await?;
    let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|n| Some(n.as_str())).collect()
    };
    let mut questions = Vec::new();
    for scope in scopes {
        for need in NEEDS {
            for resource in need.resources {
                for verb in need.verbs {
                    questions.push((scope, need.group, *resource, *verb));
                }
            }
        }
    }
    let answers = stream::iter(questions).map(|question| async move {
        let (scope, group, resource, verb) = question;
        let allowed = allowed(client, scope, group, resource, verb).await?;
        Ok::<_, kube::Error>((!allowed).then(|| {
            let wher =
                scope.map_or_else(|| "in all namespaces".to_owned(), |ns| format!("in namespace {ns}"));
            let full = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
            format!("not permitted to {verb} {full} {wher}: the chart's ClusterRole or Role grants it")
        }))
    });
    let answers: Vec<_> = answers.buffered(QUESTIONS).collect().await;
    for answer in answers {
        missing.extend(answer?);
    }
    Ok(missing)
}

async fn missing_definitions(client: &Client) -> kube::Result<Vec<String>> {
    let served: Vec<String> = match oneshot::group(client, deepseek_crds::GROUP).await {
        Ok(group) => {
            group.versioned_resources("v1alpha1").into_iter().map(|(resource, _)| resource.kind).collect()
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(kube::Error::Discovery(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let kinds = deepseek_crds::all().into_iter().map(|(_, crd)| crd.spec.names.kind);
    let lacking = kinds.filter(|kind| !served.contains(kind));
    Ok(lacking
        .map(|kind| format!("no definition of {kind} (v1alpha1): install the chart deepseek-operator-crds"))
        .collect())
}

async fn allowed(
    client: &Client,
    namespace: Option<&str>,
    group: &str,
    resource: &str,
    verb: &str,
) -> kube::Result<bool> {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, sub)) => (resource, Some(sub.to_owned())),
        None => (resource, None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: namespace.map(str::to_owned),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    type Permission = (String, String, String);

    fn permissions<'a>(rules: impl Iterator<Item = [Vec<&'a str>; 3]>) -> BTreeSet<Permission> {
        let mut all = BTreeSet::new();
        for [groups, resources, verbs] in rules {
            for group in &groups {
                for resource in &resources {
                    all.extend(
                        verbs.iter().map(|v| (group.to_string(), resource.to_string(), v.to_string())),
                    );
                }
            }
        }
        all
    }

    #[test]
    fn the_chart_grants_what_is_needed_and_nothing_more() {
        let needed = NEEDS.iter().map(|n| [vec![n.group], n.resources.to_vec(), n.verbs.to_vec()]);
        let needed = permissions(needed);

        let rendered = include_str!("../../charts/tests/default.out.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(rendered).unwrap();
        let is_ours = |it: &&Value| {
            it["kind"] == "ClusterRole" && it["metadata"]["name"] == "deepseek-system-deepseek-operator"
        };
        let role = objects.iter().find(is_ours).unwrap();
        let granted = role["rules"].as_array().unwrap().iter().map(|rule| {
            ["apiGroups", "resources", "verbs"]
                .map(|field| rule[field].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect())
        });
        assert_eq!(permissions(granted), needed);
    }
}
