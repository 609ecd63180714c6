//! `DeepSeekRoute`: names, access, backends; quotas, timeouts and failover have files of their own.

use super::account::{self, Account};
use super::cx::Cx;
use super::secret::secret_key;
use super::{answers, failover, labels, quota, timeouts};
use crate::defaults;
use crate::document::{Balancing, Body, ObjectId, Route, RouteBackend, Target};
use crate::world::{Claim, SecretKey, backend_id, takes};
use deepseek_crds::conditions::Reason;
use deepseek_crds::v1alpha1::{self as api, DeepSeekRoute, DeepSeekRouteSpec, GatewayRef, NamespacedRef};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

const MAX_BACKENDS: usize = 16;
const MAX_ALIASES: usize = 16;
const MAX_MODEL: usize = 128;
const MAX_BACKEND_MODEL: usize = 256;

/// Keys of Secrets it uses.
pub(crate) fn secrets(id: &ObjectId, spec: &DeepSeekRouteSpec) -> BTreeSet<SecretKey> {
    let keys = spec.backends.iter().filter_map(|b| b.api_key.as_ref()).map(|source| &source.secret_ref);
    let cas = spec.backends.iter().filter_map(|b| b.tls.as_ref()).map(|tls| &tls.ca_secret_ref);
    keys.chain(cas).map(|reference| secret_key(id, reference)).collect()
}

/// The model name and its aliases.
pub(crate) fn names(spec: &DeepSeekRouteSpec) -> impl Iterator<Item = &str> {
    std::iter::once(spec.model.as_str()).chain(spec.aliases.iter().map(String::as_str))
}

pub(super) fn compile(cx: &mut Cx<'_>, object: &DeepSeekRoute) -> (Vec<ObjectId>, Option<Body>) {
    let spec = &object.spec;
    let gateway = cx.gateway(spec.gateway_ref.as_ref());
    check_names(cx, spec, gateway.as_ref());
    let balancing = spec.balancing.as_ref();
    let timeouts = timeouts::compile(cx, spec.timeouts.as_ref());
    let route = Route {
        model: spec.model.clone(),
        aliases: spec.aliases.clone(),
        access: access(cx, spec),
        backends: backends(cx, &spec.backends),
        quotas: quota::compile(cx, &spec.quota),
        failover: failover::compile(cx, spec, gateway.as_ref(), timeouts.request_ms),
        timeouts,
        balancing: Balancing {
            strategy: balancing.and_then(|b| b.strategy).unwrap_or_default(),
            affinity: balancing.and_then(|b| b.affinity).unwrap_or_default(),
        },
        cache: answers::cache(cx, spec.cache.as_ref()),
        keep_alive: answers::keep_alive(cx, spec.keep_alive.as_ref()),
    };
    (gateway.into_iter().collect(), Some(Body::Route(Box::new(route))))
}

impl Cx<'_> {
    /// The gateway of a route or consumer, if there is one that takes it.
    pub fn gateway(&mut self, reference: Option<&GatewayRef>) -> Option<ObjectId> {
        let Some((gateway, object)) = self.world.chosen_gateway(self.id, reference) else {
            let text = match reference {
                Some(reference) => {
                    let namespace = reference.namespace.as_deref().unwrap_or(&self.id.namespace);
                    format!(
                        "DeepSeekGateway {namespace}/{} does not exist. Create it, or correct the \
                             reference.",
                        reference.name
                    )
                }
                None => "is not set, and no DeepSeekGateway is the default. Name a gateway here, or set \
                         spec.default: true on one."
                    .to_owned(),
            };
            self.refuse(Reason::GatewayNotFound, "spec.gatewayRef", text);
            return None;
        };
        if takes(gateway, object, self.id) {
            return Some(gateway.clone());
        }
        let text = format!(
            "DeepSeekGateway {}/{} takes nothing from namespace {}. Move this to namespace {}, or set \
             spec.allowedRoutes.from: All on the gateway.",
            gateway.namespace, gateway.name, self.id.namespace, gateway.namespace
        );
        self.refuse(Reason::NotAllowedByGateway, "spec.gatewayRef", text);
        None
    }
}

impl Cx<'_> {
    /// Checks a model name that a backend knows: whatever its maker came up with.
    pub fn backend_model(&mut self, path: impl Display, model: &str) {
        if !(1..=MAX_BACKEND_MODEL).contains(&model.len()) || model.contains(char::is_control) {
            self.invalid(
                path,
                format_args!(
                    "is not a model name. Use 1 to {MAX_BACKEND_MODEL} characters without control characters."
                ),
            );
        }
    }
}

fn check_names(cx: &mut Cx<'_>, spec: &DeepSeekRouteSpec, gateway: Option<&ObjectId>) {
    if spec.aliases.len() > MAX_ALIASES {
        cx.invalid(
            "spec.aliases",
            format_args!("{} names are too many. Use at most {MAX_ALIASES}.", spec.aliases.len()),
        );
    }
    let mut seen = BTreeSet::new();
    for (i, name) in names(spec).enumerate() {
        let path = if i == 0 { "spec.model".to_owned() } else { format!("spec.aliases[{}]", i - 1) };
        if let Some(problem) = model_problem(name) {
            cx.invalid(&path, problem);
        }
        if !seen.insert(name) {
            cx.invalid(&path, format_args!("{name:?} stands here twice. Remove one."));
        }
        if let Some(gateway) = gateway
            && let Some(holder) = cx.world.holder(gateway, Claim::Model(name.to_owned()))
            && holder != cx.id
        {
            let text = format!(
                "{name:?} belongs to the older DeepSeekRoute {}/{} on DeepSeekGateway {}/{}. Choose \
                 another name, or remove one of the routes.",
                holder.namespace, holder.name, gateway.namespace, gateway.name
            );
            cx.refuse(Reason::Conflicted, &path, text);
        }
    }
}

/// What is wrong with a model name that clients ask for, if anything.
pub(super) fn model_problem(name: &str) -> Option<String> {
    let right = name.len() <= MAX_MODEL
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte));
    (!right).then(|| {
        format!(
            "{name:?} is not a model name. Use 1 to {MAX_MODEL} letters, digits and . _ : / @ -, beginning \
             with a letter or digit."
        )
    })
}

fn access(cx: &mut Cx<'_>, spec: &DeepSeekRouteSpec) -> Option<BTreeMap<String, String>> {
    let wanted = &spec.access.as_ref()?.consumers.match_labels;
    for (key, value) in wanted {
        let problem = labels::key_problem(key).or_else(|| labels::value_problem(value));
        if let Some(problem) = problem {
            cx.invalid(
                "spec.access.consumers.matchLabels",
                format_args!("no consumer can carry {key:?}: {value:?}: {problem}. Correct the label."),
            );
        }
    }
    Some(wanted.clone())
}

fn backends(cx: &mut Cx<'_>, specs: &[api::RouteBackend]) -> Vec<RouteBackend> {
    if !(1..=MAX_BACKENDS).contains(&specs.len()) {
        cx.invalid("spec.backends", format_args!("holds {} backends. Use 1 to {MAX_BACKENDS}.", specs.len()));
    }
    if !specs.is_empty() && specs.iter().all(|backend| backend.weight == Some(0)) {
        cx.invalid(
            "spec.backends",
            "every weight is 0, so no backend would ever be tried first. Give at least one a weight \
             above 0.",
        );
    }
    let mut seen = BTreeSet::new();
    let mut backends = Vec::with_capacity(specs.len());
    for (i, spec) in specs.iter().enumerate() {
        let path = format!("spec.backends[{i}]");
        if !labels::is_dns_label(&spec.name) {
            cx.invalid(
                format_args!("{path}.name"),
                format_args!(
                    "{:?} is not a name. Use 1 to 63 lower-case letters, digits and -, such as official.",
                    spec.name
                ),
            );
        }
        if !seen.insert(&spec.name) {
            cx.invalid(
                format_args!("{path}.name"),
                format_args!("{:?} is the name of an earlier backend. Choose another.", spec.name),
            );
        }
        backends.extend(backend(cx, &path, spec));
    }
    backends
}

fn backend(cx: &mut Cx<'_>, path: &str, spec: &api::RouteBackend) -> Option<RouteBackend> {
    if let Some(model) = &spec.model {
        cx.backend_model(format_args!("{path}.model"), model);
    }
    let priority = cx.small(format_args!("{path}.priority"), spec.priority, 0..=100, defaults::PRIORITY);
    let weight = cx.small(format_args!("{path}.weight"), spec.weight, 0..=10_000, defaults::WEIGHT);
    let target = target(cx, path, spec)?;
    Some(RouteBackend { name: spec.name.clone(), target, model: spec.model.clone(), priority, weight })
}

fn target(cx: &mut Cx<'_>, path: &str, spec: &api::RouteBackend) -> Option<Target> {
    match (&spec.backend_ref, &spec.base_url) {
        (Some(reference), None) => {
            if spec.flavor.is_some() || spec.api_key.is_some() || spec.tls.is_some() || spec.zone.is_some() {
                cx.invalid(
                    path,
                    "flavor, apiKey, tls and zone come from the DeepSeekBackend. Remove them here.",
                );
            }
            referenced(cx, path, reference).map(Target::Ref)
        }
        (None, Some(base_url)) => {
            let api_key = spec.api_key.as_ref();
            let account = Account {
                base_url,
                flavor: spec.flavor,
                api_keys: api_key.map(|key| (format!("{path}.apiKey.secretRef"), key)).into_iter().collect(),
                tls: spec.tls.as_ref(),
                zone: spec.zone.as_ref(),
                ..Account::default()
            };
            account::compile(cx, path, &account).map(Target::Inline)
        }
        (None, None) => {
            cx.invalid(path, "says not where it is. Set backendRef or baseUrl.");
            None
        }
        (Some(_), Some(_)) => {
            cx.invalid(path, "has both backendRef and baseUrl. Remove one.");
            None
        }
    }
}

fn referenced(cx: &mut Cx<'_>, path: &str, reference: &NamespacedRef) -> Option<ObjectId> {
    let backend = backend_id(cx.id, reference);
    let ObjectId { namespace, name, .. } = &backend;
    let usable = cx.world.usable(&backend).filter(|_| cx.world.permits(cx.id, &backend));
    let (reason, text) = match usable {
        Some(true) => return Some(backend),
        Some(false) => (
            Reason::BackendInvalid,
            format!("DeepSeekBackend {namespace}/{name} is not accepted. Its own status says why."),
        ),
        None if *namespace == cx.id.namespace => (
            Reason::BackendNotFound,
            format!(
                "DeepSeekBackend {namespace}/{name} does not exist. Create it, or correct the reference."
            ),
        ),
        // One message for "missing" and "not permitted": a namespace does not show what it holds.
        None => (
            Reason::BackendNotFound,
            format!(
                "there is no DeepSeekBackend {namespace}/{name} that a DeepSeekRoute in namespace {} \
                 may refer to. Correct the reference, or have a ReferenceGrant made in namespace \
                 {namespace}.",
                cx.id.namespace
            ),
        ),
    };
    cx.unresolved(reason, format_args!("{path}.backendRef"), text);
    None
}
