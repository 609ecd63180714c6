//! A whole answer on its way to the client: in DeepSeek's words, an error in OpenAI's envelope.

use crate::flavor::{answer, errors};
use crate::pipeline::endpoint::Endpoint;
use crate::upstream::attempt::{Answer, joined};
use deepseek_crds::v1alpha1::Flavor;
use http::{HeaderValue, header};
use std::collections::VecDeque;

/// The answer of a server of kind `flavor` as the client gets it. A stream is told event by event, by the
/// [flow](crate::pipeline::flow).
pub(super) fn retold(mut answer: Answer, flavor: Flavor, endpoint: Endpoint) -> Answer {
    let succeeded = answer.head.status.is_success();
    if answer.stream || answer.rest.is_some() || (succeeded && !answer::differs(flavor, endpoint)) {
        return answer;
    }
    let body = joined(&answer.first);
    let told = if succeeded {
        answer::whole(&body)
    } else {
        errors::envelope(flavor, answer.head.status.as_u16(), &body)
    };
    if let Some(told) = told {
        answer.head.headers.remove(header::CONTENT_LENGTH);
        answer.head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.first = VecDeque::from([told]);
    }
    answer
}
