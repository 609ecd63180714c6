//! Dispatch: attempts until an answer has begun. Another backend is asked at once; the same one after a pause.

use super::check::Call;
use super::error::{Code, GatewayError};
use super::settle::Settlement;
use crate::snapshot::Route;
use crate::upstream::attempt::{Answer, attempt};
use crate::upstream::balance::{NoChoice, Set, choose};
use crate::upstream::judge::{self, Failure};
use crate::upstream::splice::SplicedBody;
use http::HeaderMap;
use rand::RngExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The last failure, and whose it was.
type Last = Option<(Failure, Arc<str>)>;

/// Asks backends until one answers. The settlement learns which, and after how many attempts.
pub async fn dispatch(
    route: &Route,
    call: &Call,
    headers: HeaderMap,
    settlement: &mut Settlement,
    deadline: Instant,
) -> Result<Answer, GatewayError> {
    let policy = &route.policy.failover;
    let request_id = settlement.request_id.clone();
    let (mut tried, mut barred) = (Set::default(), Set::default());
    let mut last: Last = None;
    while settlement.attempts < policy.attempts {
        let choice = match choose(route, call.endpoint, tried, barred) {
            Ok(choice) => choice,
            Err(none) => return Err(no_choice(&none, last, call)),
        };
        let backend = &route.backends[choice.at];
        if choice.again {
            let asked_for =
                last.as_ref().filter(|(_, name)| *name == backend.name).and_then(|(f, _)| f.retry_after);
            let pause = pause(route, settlement.attempts, asked_for);
            if Instant::now().checked_add(pause).is_none_or(|at| at >= deadline) {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        let Some(to) = backend.request(call.endpoint) else { break };
        let key_at = to.key_at;
        settlement.attempts += 1;
        let first_token = call.stream.then(|| route.first_token_timeout());
        let attempt =
            attempt(backend, to, headers.clone(), body_for(call, backend.model_json.as_ref()), first_token);
        let outcome = timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
            Err(Failure::new(deepseek_crds::v1alpha1::RetryOn::Timeout, "the call's time is up"))
        });
        let metrics = &settlement.shared.metrics;
        match outcome {
            Ok(answer) => {
                choice.permit.succeeded();
                metrics.attempted(&route.state.metrics, &backend.name, "Answered");
                settlement.backend = Some(Arc::clone(&backend.name));
                return Ok(answer);
            }
            Err(failure) => {
                let kind = judge::name(failure.kind);
                let another_key = failure.key_refused && backend.keys.refused(key_at);
                if another_key || !failure.counts {
                    drop(choice.permit);
                } else {
                    choice.permit.failed(kind);
                }
                if !another_key {
                    tried.insert(choice.at);
                }
                metrics.attempted(&route.state.metrics, &backend.name, kind);
                tracing::warn!(route = %route.state.metrics.label, backend = %backend.name, attempt = settlement.attempts, reason = kind, detail = %failure.detail, request_id = request_id.to_str().unwrap_or_default(), "attempt failed");
                if failure
                    .retry_after
                    .is_some_and(|after| after > Duration::from_millis(policy.backoff_max_ms))
                {
                    barred.insert(choice.at);
                }
                let retry = policy.retry_on.contains(&failure.kind) && Instant::now() < deadline;
                last = Some((failure, Arc::clone(&backend.name)));
                if another_key && Instant::now() < deadline {
                    // The account is well: it is asked again at once, with its next key, and that is the same attempt.
                    settlement.attempts -= 1;
                } else if !retry {
                    break;
                }
            }
        }
    }
    Err(last_error(last))
}

/// The body for a backend: the client's, with the model's name replaced where the route says so.
fn body_for(call: &Call, model: Option<&bytes::Bytes>) -> SplicedBody {
    match model {
        Some(model) => SplicedBody::replace(&call.body, call.model_span.clone(), model.clone()),
        None => SplicedBody::whole(call.body.clone()),
    }
}

/// Exponential, at most `max`, drawn between 0 and that where jitter is on; never shorter than the backend asked for.
fn pause(route: &Route, attempts: u32, retry_after: Option<Duration>) -> Duration {
    let policy = &route.policy.failover;
    let doubled = policy.backoff_base_ms.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let most = doubled.min(policy.backoff_max_ms);
    let drawn = if policy.jitter { rand::rng().random_range(0..=most) } else { most };
    Duration::from_millis(drawn).max(retry_after.unwrap_or_default())
}

fn no_choice(none: &NoChoice, last: Last, call: &Call) -> GatewayError {
    match none {
        NoChoice::Unsupported => {
            let message =
                format!("No backend of model {:?} has the endpoint {}.", call.model, call.endpoint.as_str());
            GatewayError::new(Code::UnsupportedEndpoint, message)
        }
        NoChoice::AllOpen(wait) => {
            let message =
                "Every backend of this model has failed too often lately and is left alone for a while.";
            GatewayError::new(Code::NoHealthyBackend, message).retry_after(Some(*wait))
        }
        NoChoice::Exhausted => last_error(last),
    }
}

fn last_error(last: Last) -> GatewayError {
    match last {
        Some((failure, backend)) => failure.into_error(&backend),
        None => GatewayError::new(
            Code::UpstreamTimeout,
            "The call's time was up before a backend could be asked.",
        ),
    }
}
