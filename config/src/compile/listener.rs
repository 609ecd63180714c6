//! `spec.listeners` of a gateway: ports and their certificates.

use super::cx::Cx;
use super::secret::Use;
use crate::defaults;
use crate::document::{Certificate, Listener};
use crate::report::ADMIN_PORT;
use deepseek_crds::v1alpha1::{self as api, ListenerProtocol, SecretKeyRef};
use std::collections::BTreeSet;

/// The keys of a Secret of type `kubernetes.io/tls`: chain and private key.
pub(super) const KEYS: [&str; 2] = ["tls.crt", "tls.key"];

const MAX_LISTENERS: usize = 8;
/// Ports of the gateway itself.
const RESERVED: [i32; 2] = [15020, ADMIN_PORT as i32];

pub(super) fn compile(cx: &mut Cx<'_>, specs: &[api::Listener]) -> Vec<Listener> {
    if specs.is_empty() {
        let (name, port, protocol) = defaults::LISTENER;
        return vec![Listener { name: name.to_owned(), port, protocol, certificate: None }];
    }
    if specs.len() > MAX_LISTENERS {
        cx.invalid(
            "spec.listeners",
            format_args!("{} listeners are too many. Use at most {MAX_LISTENERS}.", specs.len()),
        );
    }
    let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
    let mut listeners = Vec::with_capacity(specs.len());
    for (i, spec) in specs.iter().enumerate() {
        let path = format!("spec.listeners[{i}]");
        if !(super::labels::is_dns_label(&spec.name) && spec.name.len() <= 15) {
            cx.invalid(
                format_args!("{path}.name"),
                format_args!(
                    "{:?} is not the name of a port. Use 1 to 15 lower-case letters, digits and -.",
                    spec.name
                ),
            );
        }
        if !names.insert(&spec.name) {
            cx.invalid(
                format_args!("{path}.name"),
                format_args!("{:?} is the name of an earlier listener. Choose another.", spec.name),
            );
        }
        if !ports.insert(spec.port) {
            cx.invalid(
                format_args!("{path}.port"),
                format_args!("{} is the port of an earlier listener. Choose another.", spec.port),
            );
        }
        listeners.extend(one(cx, &path, spec));
    }
    listeners
}

fn one(cx: &mut Cx<'_>, path: &str, spec: &api::Listener) -> Option<Listener> {
    let port = cx.small(format_args!("{path}.port"), Some(spec.port), 1024..=65_535, 0);
    if RESERVED.contains(&spec.port) {
        cx.invalid(
            format_args!("{path}.port"),
            format_args!("{} is a port of the gateway itself. Choose another.", spec.port),
        );
    }
    let certificate = match (spec.protocol, &spec.tls) {
        (ListenerProtocol::HTTP, None) => None,
        (ListenerProtocol::HTTPS, Some(tls)) => {
            let [chain, private_key] =
                KEYS.map(|key| SecretKeyRef { name: tls.secret_ref.name.clone(), key: key.to_owned() });
            let path = format!("{path}.tls.secretRef");
            let chain = cx.project(&path, &chain, Use::Certificates);
            let private_key = cx.project(&path, &private_key, Use::PrivateKey);
            Some(Certificate { chain: chain?, private_key: private_key? })
        }
        (ListenerProtocol::HTTPS, None) => {
            cx.invalid(
                path,
                "protocol HTTPS needs a certificate. Set tls.secretRef, or use protocol \
                 HTTP.",
            );
            return None;
        }
        (ListenerProtocol::HTTP, Some(_)) => {
            cx.invalid(path, "tls goes with protocol HTTPS. Remove tls, or use protocol HTTPS.");
            return None;
        }
    };
    Some(Listener {
        name: spec.name.clone(),
        port: u16::try_from(port).ok()?,
        protocol: spec.protocol,
        certificate,
    })
}
