//! What a backend is asked: the client's request in the words of that backend, or the rest of an answer that broke.

use super::Errand;
use crate::flavor;
use crate::pipeline::check::Call;
use crate::pipeline::endpoint::Endpoint;
use crate::pipeline::resume::stitch::Stitch;
use crate::snapshot::RouteBackend;
use crate::upstream::account::user_id;
use crate::upstream::failure::Failure;
use crate::upstream::judge::Cause;
use crate::upstream::splice::{Splice, SplicedBody};
use deepseek_crds::v1alpha1::{Flavor, UserId};

/// A request for one backend.
pub struct Asked {
    /// Where it goes.
    pub endpoint: Endpoint,
    /// What it says.
    pub body: SplicedBody,
    /// What joins the answer to the broken one that it goes on with.
    pub stitch: Option<Stitch>,
}

/// What `backend` is asked for `errand`, or why it cannot be.
pub fn asked(errand: &Errand, backend: &RouteBackend) -> Result<Asked, Failure> {
    let consumer = &errand.settlement.consumer.name;
    let Some(broken) = &errand.broken else {
        let body = body_for(&errand.call, backend, consumer)?;
        return Ok(Asked { endpoint: errand.call.endpoint, body, stitch: None });
    };
    let (call, stitch) = broken.request(backend.flavor).ok_or(Cause::Unfit)?;
    let body = body_for(&call, backend, consumer)?;
    Ok(Asked { endpoint: call.endpoint, body, stitch: Some(stitch) })
}

/// The client's body, with the model's name replaced where the route says so, the consumer named where the account does,
/// and what this kind of server has other words for said in them.
fn body_for(call: &Call, backend: &RouteBackend, consumer: &str) -> Result<SplicedBody, Failure> {
    let fitted = flavor::fit(backend.flavor, call.endpoint, call.stream, &call.body)
        .map_err(|unfit| Failure::unfit(unfit.field))?;
    let model = backend.model_json.clone().map(|with| Splice { at: call.model_span.clone(), with });
    let named =
        backend.flavor == Flavor::DeepSeek && backend.account.settings().document.user_id == UserId::Consumer;
    let user = named.then(|| user_id::splice(call.endpoint, &call.body, consumer)).flatten();
    Ok(SplicedBody::new(&call.body, model.into_iter().chain(user).chain(fitted).collect()))
}
