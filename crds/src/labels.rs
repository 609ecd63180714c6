//! Labels, annotations and names that tie together what the operator writes and what the gateway watches.

/// Label on every object the operator owns; its value is [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`], also the prefix of the server-side apply field managers.
pub const MANAGER: &str = "deepseek-operator";
/// Label naming the `DeepSeekGateway` an object belongs to (same namespace as the object).
pub const GATEWAY: &str = "deepseekroute.io/gateway";
/// Label with the kind of the custom resource a compiled ConfigMap was made from.
pub const OWNER_KIND: &str = "deepseekroute.io/owner-kind";
/// Label with the namespace of that resource.
pub const OWNER_NAMESPACE: &str = "deepseekroute.io/owner-namespace";
/// Label with the name of that resource (names are at most 63 characters, by a CEL rule).
pub const OWNER_NAME: &str = "deepseekroute.io/owner-name";
/// Label with the uid of that resource: a resource deleted and made anew is another owner.
pub const OWNER_UID: &str = "deepseekroute.io/owner-uid";
/// Label with the part an object plays: [`COMPONENT_CONFIG`], [`COMPONENT_KEYS`] or [`COMPONENT_GATEWAY`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// A compiled configuration ConfigMap.
pub const COMPONENT_CONFIG: &str = "config";
/// The Secret of projected keys of one gateway.
pub const COMPONENT_KEYS: &str = "keys";
/// The gateway's workload: Deployment, Pods, Service and so on.
pub const COMPONENT_GATEWAY: &str = "gateway";
/// Data key of the compiled JSON in a ConfigMap.
pub const CONFIG_KEY: &str = "config.json";
/// Data key of the SHA-256 (hex) of [`CONFIG_KEY`]'s bytes.
pub const DIGEST_KEY: &str = "sha256";

/// Name of the Secret that holds the projected keys of gateway `gateway`, in the gateway's namespace.
#[must_use]
pub fn keys_secret(gateway: &str) -> String {
    format!("{gateway}-keys")
}

/// Longest name of a resource of `kind`: names become label values, and a gateway's become prefixes of pod names.
#[must_use]
pub fn max_name_length(kind: &str) -> usize {
    if kind == "DeepSeekGateway" { 40 } else { 63 }
}
