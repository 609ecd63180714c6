//! The vocabulary of `status.conditions`: types, reasons, and how one is set.
//!
//! Types follow Gateway API: `Accepted` (the spec is valid), `ResolvedRefs` (every reference exists and is
//! permitted), `Programmed` (the gateway pods have loaded it), `Ready` (all of these: it serves as written). An account
//! has `Funded` besides (it has balance).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Condition types, all of positive polarity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// The spec is valid by itself and beside the other resources.
    Accepted,
    /// Every reference was found and is permitted.
    ResolvedRefs,
    /// Every ready gateway pod has loaded this generation.
    Programmed,
    /// Accepted, resolved, programmed, and something is there to serve it.
    Ready,
    /// Of a `DeepSeekBackend` whose balance is watched, or that was out of balance: the account has balance.
    Funded,
}

impl ConditionType {
    /// Every type, in the order they become true; the last one only accounts have.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::ResolvedRefs, Self::Programmed, Self::Ready, Self::Funded];

    /// The name as it stands in `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::Ready => "Ready",
            Self::Funded => "Funded",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Reasons: a closed set, so that they can be metric labels. `docs/conditions.md` explains each to users.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }
        impl Reason {
            /// Every reason, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$name),+];
            /// The name as it stands in `reason`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

reasons! {
    /// The spec is valid.
    Accepted,
    /// Every reference was found and is permitted.
    ResolvedRefs,
    /// Every ready gateway pod has loaded this generation.
    Programmed,
    /// It serves as written.
    Ready,
    /// A field holds a value that cannot be used; the message names the field and the fix.
    Invalid,
    /// An older resource holds this model name or API key on the same gateway; or (with status `True`) is the default.
    Conflicted,
    /// No `DeepSeekGateway` is named by `gatewayRef`, or none is marked as default.
    GatewayNotFound,
    /// The gateway does not take resources from this namespace (`spec.allowedRoutes`).
    NotAllowedByGateway,
    /// A `backendRef` names no usable `DeepSeekBackend` (missing, or in another namespace without a `ReferenceGrant`).
    BackendNotFound,
    /// A `backendRef` names a `DeepSeekBackend` that is itself not accepted.
    BackendInvalid,
    /// `failover.fallback.model` names a model that no route of the gateway serves.
    ModelNotFound,
    /// A Secret, or the key in it, does not exist.
    SecretNotFound,
    /// A Secret's value cannot be used: empty, not text, too short, or not PEM.
    InvalidSecret,
    /// Waiting for the gateway pods to load this generation.
    Pending,
    /// No gateway pod is ready.
    NoGatewayPods,
    /// This generation was refused; the last good one keeps serving.
    ServingLastGood,
    /// A gateway pod refused the compiled configuration; the message says which and why.
    RefusedByGateway,
    /// Every backend is out.
    NoHealthyBackend,
    /// An earlier condition is not true; see its reason.
    NotAccepted,
    /// The Deployment has not enough ready pods.
    DeploymentUnavailable,
    /// The account has balance.
    Funded,
    /// The account's balance is below `spec.balance.low`; calls go on.
    LowBalance,
    /// The account is out of balance: no call is sent to it until the balance has returned.
    OutOfBalance,
}

/// Longest `message` the API server takes.
const MAX_MESSAGE_BYTES: usize = 32_768;

/// Builds a condition; `lastTransitionTime` is settled by [`set`].
#[must_use]
pub fn condition(
    type_: ConditionType,
    status: bool,
    reason: Reason,
    message: impl Into<String>,
    generation: i64,
    now: Time,
) -> Condition {
    let mut message = message.into();
    if message.len() > MAX_MESSAGE_BYTES {
        let cut = message.floor_char_boundary(MAX_MESSAGE_BYTES);
        message.truncate(cut);
    }
    Condition {
        type_: type_.as_str().to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: now,
    }
}

/// Replaces or adds `new`, moving `lastTransitionTime` only when `status` moves. Returns whether anything changed.
pub fn set(conditions: &mut Vec<Condition>, mut new: Condition) -> bool {
    if let Some(old) = conditions.iter_mut().find(|c| c.type_ == new.type_) {
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time.clone();
        }
        let changed = *old != new;
        *old = new;
        changed
    } else {
        conditions.push(new);
        true
    }
}

/// Whether condition `type_` is present and `True`.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    conditions.iter().any(|c| c.type_ == type_.as_str() && c.status == "True")
}
