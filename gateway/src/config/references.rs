//! Which secret values a document refers to.

use deepseek_config::document::{Backend, Body, Document, Target};
use deepseek_config::keys::KeyId;

/// Every key `document` refers to.
pub fn keys(document: &Document) -> Box<dyn Iterator<Item = &KeyId> + '_> {
    match &document.body {
        Body::Gateway(gateway) => Box::new(
            gateway
                .listeners
                .iter()
                .filter_map(|listener| listener.certificate.as_ref())
                .flat_map(|certificate| [&certificate.chain, &certificate.private_key]),
        ),
        Body::Backend(backend) => Box::new(of_backend(backend)),
        Body::Consumer(_) => Box::new(std::iter::empty()),
        Body::Route(route) => Box::new(route.backends.iter().flat_map(|backend| match &backend.target {
            Target::Inline(backend) => Some(of_backend(backend)).into_iter().flatten(),
            Target::Ref(_) => None.into_iter().flatten(),
        })),
    }
}

fn of_backend(backend: &Backend) -> impl Iterator<Item = &KeyId> {
    backend.api_keys.iter().chain(&backend.ca)
}
