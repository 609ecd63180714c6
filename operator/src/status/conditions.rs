//! The four conditions of every kind, and the fifth of an account. Pure.

use super::account;
use super::facts::Facts;
use deepseek_config::compile::Finding;
use deepseek_crds::conditions::{ConditionType, Reason, condition, set};
use deepseek_crds::v1alpha1::BackendState;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The conditions that `facts` make of `old`.
pub fn conditions(old: &[Condition], facts: &Facts, now: &Time) -> Vec<Condition> {
    let mut conditions = old.to_vec();
    let programmed = programmed(facts);
    let funded = account::funded(old, facts);
    let ready = ready(facts, &programmed, funded.as_ref());
    let findings = [
        (ConditionType::Accepted, Some(facts.verdict.accepted.clone())),
        (ConditionType::ResolvedRefs, Some(facts.verdict.resolved_refs.clone())),
        (ConditionType::Programmed, Some(programmed)),
        (ConditionType::Ready, Some(ready)),
        (ConditionType::Funded, funded),
    ];
    for (type_, finding) in findings {
        let Some(Finding { ok, reason, message }) = finding else {
            conditions.retain(|known| known.type_ != type_.as_str());
            continue;
        };
        set(&mut conditions, condition(type_, ok, reason, message, facts.generation, now.clone()));
    }
    conditions
}

/// Whether `facts` describe a state that pods are about to end.
pub fn passing(facts: &Facts) -> bool {
    programmed(facts).reason == Reason::Pending
}

fn finding(ok: bool, reason: Reason, message: impl Into<String>) -> Finding {
    Finding { ok, reason, message: message.into() }
}

fn programmed(facts: &Facts) -> Finding {
    let pods = &facts.pods;
    if !facts.verdict.ok() {
        return finding(false, Reason::NotAccepted, "This generation is not given to the gateway pods.");
    }
    if let Some((reason, message)) = &facts.blocked {
        return finding(false, *reason, message.clone());
    }
    if facts.gateways.is_empty() {
        return finding(true, Reason::Programmed, "No route refers to it, so no gateway needs it yet.");
    }
    if let Some(on) = &facts.waits_for {
        return finding(false, Reason::Pending, format!("Waiting for {on}."));
    }
    if pods.ready == 0 {
        let names: Vec<_> = facts.gateways.iter().map(|g| format!("{}/{}", g.namespace, g.name)).collect();
        let message = format!("No pod of gateway {} is ready.", names.join(", "));
        return finding(false, Reason::NoGatewayPods, message);
    }
    if let Some((pod, why)) = &pods.refused {
        return finding(false, Reason::RefusedByGateway, format!("Gateway pod {pod} refused it: {why}"));
    }
    if pods.current < pods.ready {
        let message = format!("{} of {} gateway pods have loaded this generation.", pods.current, pods.ready);
        return finding(false, Reason::Pending, message);
    }
    let message = match pods.ready {
        1 => "The gateway pod has loaded this generation.".to_owned(),
        n => format!("All {n} gateway pods have loaded this generation."),
    };
    finding(true, Reason::Programmed, message)
}

fn ready(facts: &Facts, programmed: &Finding, funded: Option<&Finding>) -> Finding {
    let verdict = &facts.verdict;
    if !verdict.ok() {
        let cause = if verdict.accepted.ok { &verdict.resolved_refs } else { &verdict.accepted };
        return if facts.last_good {
            let message =
                format!("This generation is refused and the last good one keeps serving: {}", cause.message);
            finding(false, Reason::ServingLastGood, message)
        } else {
            finding(false, Reason::NotAccepted, cause.message.clone())
        };
    }
    if !programmed.ok {
        return programmed.clone();
    }
    if let Some(workload) = &facts.workload
        && workload.ready < workload.min
    {
        let message = format!("{} of at least {} gateway pods are ready.", workload.ready, workload.min);
        return finding(false, Reason::DeploymentUnavailable, message);
    }
    if let Some(funded) = funded.filter(|funded| funded.reason == Reason::OutOfBalance) {
        return funded.clone();
    }
    let out = facts.backends.iter().all(|backend| backend.state >= BackendState::Open);
    if out && !facts.backends.is_empty() {
        return finding(false, Reason::NoHealthyBackend, "Every backend is out; see status.backends.");
    }
    finding(true, Reason::Ready, "It serves as written.")
}

/// Conditions that changed in a way a user wants to hear of when it happens: what broke, and what is well again.
pub fn transitions(old: &[Condition], new: &[Condition]) -> Vec<Condition> {
    let passing = [Reason::Pending, Reason::NoGatewayPods, Reason::NotAccepted].map(Reason::as_str);
    let news = new.iter().filter(|new| {
        let old = old.iter().find(|old| old.type_ == new.type_);
        let same = old.is_some_and(|old| {
            old.status == new.status && (new.status == "True" || old.reason == new.reason)
        });
        let told = if new.status == "True" {
            // The first time everything is well is worth one sentence, not three.
            new.type_ == ConditionType::Ready.as_str()
                || (old.is_some() && new.type_ != ConditionType::Programmed.as_str())
        } else {
            !passing.contains(&new.reason.as_str())
        };
        !same && told
    });
    // `Ready` repeats the reason of the condition that is to blame.
    let news: Vec<Condition> = news.cloned().collect();
    let repeated = |c: &Condition| {
        c.type_ == ConditionType::Ready.as_str()
            && c.status == "False"
            && news
                .iter()
                .any(|other| other.type_ != c.type_ && other.status == "False" && other.reason == c.reason)
    };
    news.iter().filter(|condition| !repeated(condition)).cloned().collect()
}
