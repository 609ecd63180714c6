//! Who the pods are and what they may read: their own configuration, and the one Secret of their keys.

use super::Input;
use deepseek_crds::labels;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

/// The pods' ServiceAccount. Its token is mounted by the pods alone.
pub fn service_account(input: &Input<'_>, name: String) -> ServiceAccount {
    ServiceAccount {
        metadata: input.meta(name),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// What the pods may read.
pub fn role(input: &Input<'_>, name: String) -> Role {
    let rule = |resource: &str, names: Option<Vec<String>>| PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: names,
        verbs: ["get", "list", "watch"].map(str::to_owned).to_vec(),
        ..PolicyRule::default()
    };
    let secret = labels::keys_secret(&input.id.name);
    Role {
        metadata: input.meta(name),
        rules: Some(vec![rule("configmaps", None), rule("secrets", Some(vec![secret]))]),
    }
}

/// That they may.
pub fn role_binding(input: &Input<'_>, name: String) -> RoleBinding {
    RoleBinding {
        metadata: input.meta(name.clone()),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name,
            namespace: Some(input.id.namespace.clone()),
            ..Subject::default()
        }]),
    }
}
