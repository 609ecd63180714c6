//! The compiled documents: what one ConfigMap holds as `config.json`, with its SHA-256 beside it.
//!
//! A document is complete and checked: defaults filled in, durations in milliseconds, references turned into ids.
//! A route names its backends by id; the gateway joins them. Secret values are never in a document, only [`KeyId`]s.

use crate::keys::{ApiKeyHash, KeyId, sha256_hex};
use deepseek_crds::v1alpha1::{
    Affinity, AuthMode, CacheScope, Flavor, ListenerProtocol, LogLevel, MidStream, QuotaMode, QuotaPer,
    RetryOn, Strategy, UserId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// Version of the document format; a gateway refuses any other.
pub const FORMAT: u32 = 1;

/// Kinds of custom resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `DeepSeekGateway`
    Gateway,
    /// `DeepSeekBackend`
    Backend,
    /// `DeepSeekConsumer`
    Consumer,
    /// `DeepSeekRoute`
    Route,
}

impl Kind {
    /// Every kind, in the order the gateway joins them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Backend, Self::Consumer, Self::Route];

    /// The name as it stands in `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "DeepSeekGateway",
            Self::Backend => "DeepSeekBackend",
            Self::Consumer => "DeepSeekConsumer",
            Self::Route => "DeepSeekRoute",
        }
    }
}

/// A custom resource: kind, namespace and name; written `DeepSeekRoute/team-a/chat`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectId {
    /// Names a resource.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

impl FromStr for ObjectId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(kind), Some(namespace), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{text:?} is not KIND/NAMESPACE/NAME"));
        };
        let kind = Kind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .ok_or_else(|| format!("unknown kind {kind:?}"))?;
        Ok(Self::new(kind, namespace, name))
    }
}

impl Serialize for ObjectId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One compiled resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`FORMAT`].
    pub format: u32,
    /// The resource it was compiled from.
    pub id: ObjectId,
    /// Its `metadata.uid`; empty in standalone mode.
    pub uid: String,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// What was compiled.
    pub body: Body,
}

/// What a document holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// Settings of the gateway itself.
    Gateway(Gateway),
    /// An account at a provider.
    Backend(Backend),
    /// A caller.
    Consumer(Consumer),
    /// A model.
    Route(Box<Route>),
}

/// Settings of the gateway itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Ports that clients connect to.
    pub listeners: Vec<Listener>,
    /// How callers show who they are.
    pub auth: AuthMode,
    /// Largest request body in bytes.
    pub max_request_body_bytes: u64,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How long a leaving pod still takes new connections.
    pub drain_delay_ms: u64,
    /// How long it then waits for requests to end.
    pub drain_timeout_ms: u64,
    /// Gateway pods that share each quota: every pod enforces its part of a limit.
    pub pods: u32,
    /// The pod that asks providers for the balances of accounts; absent: no pod is ready to (standalone: the process does).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_poller: Option<String>,
    /// Requests in flight that a pod takes; above it 503 at once.
    pub max_in_flight: u64,
    /// Bytes of requests and answers that a pod holds in memory; above it 503 at once.
    pub max_buffered_bytes: u64,
    /// Bytes of cached answers that a pod holds in memory.
    pub max_cache_bytes: u64,
}

/// A port that clients connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Cleartext or TLS.
    pub protocol: ListenerProtocol,
    /// Certificate chain and private key (PEM), of a TLS listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// Where a listener's certificate is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The chain.
    pub chain: KeyId,
    /// The private key.
    pub private_key: KeyId,
}

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// `http` or `https`, host, port and path; without a trailing slash.
    pub base_url: String,
    /// Kind of server.
    pub flavor: Flavor,
    /// Its keys, used in turn; empty for a server that needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<KeyId>,
    /// The only authorities trusted for it, as PEM; absent: the system's and Mozilla's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<KeyId>,
    /// The zone it is in, as in the label `topology.kubernetes.io/zone`; a nearer backend is preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Calls in flight that the account takes, all gateway pods and keys together.
    pub concurrency: Concurrency,
    /// How its balance is watched; absent: not at all (the provider has no such endpoint, or it is switched off).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// What is sent as `user_id` where the caller sends none.
    #[serde(default)]
    pub user_id: UserId,
    /// Whether the operator knows the account to be out of balance, from the pod that polls it: no call is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
}

/// Calls in flight that an account takes, for each model by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// By the model name that the backend knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, u64>,
    /// Of every other model; absent: no limit but what the provider's refusals teach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<u64>,
    /// Calls that may wait for a place, in one pod and for each model.
    pub queue: u64,
    /// How long one may wait.
    pub queue_timeout_ms: u64,
}

/// How an account's balance is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// How often it is asked for; four times as often while the account is parked.
    pub interval_ms: u64,
    /// Below it, in the account's currency and millionths, the account is said to be low; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_micros: Option<u64>,
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Hashes of its API keys.
    pub api_keys: Vec<ApiKeyHash>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The name clients ask for.
    pub model: String,
    /// More names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Labels a consumer must carry; absent: every consumer may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<BTreeMap<String, String>>,
    /// What serves it.
    pub backends: Vec<RouteBackend>,
    /// Limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// What happens when an attempt fails.
    pub failover: Failover,
    /// How one of several backends of the same priority is chosen.
    #[serde(default)]
    pub balancing: Balancing,
    /// Answers that are kept and given again; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Signs of life while nothing is there to send yet.
    pub keep_alive: KeepAlive,
}

/// How one of several backends of the same priority is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Balancing {
    /// By what.
    #[serde(default)]
    pub strategy: Strategy,
    /// What stays with the backend that it was served by before, while that one is healthy.
    #[serde(default)]
    pub affinity: Affinity,
}

/// Answers that are kept and given again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// For how long.
    pub ttl_ms: u64,
    /// Who shares them.
    pub scope: CacheScope,
    /// Whether identical calls in flight share one call of the backend.
    pub merge: bool,
}

/// Signs of life while nothing is there to send yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepAlive {
    /// How long a client is left without a byte.
    pub interval_ms: u64,
    /// Whether an answer in one piece is preceded by blank lines too. Its status is then 200 whatever comes.
    pub blank_padding: bool,
}

/// One backend of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteBackend {
    /// Its name in the route.
    pub name: String,
    /// The account.
    pub target: Target,
    /// The model name it knows; absent: what the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Lower is tried first.
    pub priority: u32,
    /// Share within its priority; 0 takes part in failover only.
    pub weight: u32,
}

/// The account behind a route's backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A document of its own.
    Ref(ObjectId),
    /// Written out in the route.
    Inline(Backend),
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Whose use is counted together.
    pub per: QuotaPer,
    /// What is counted, and how much of it.
    pub limit: Limit,
    /// Whether it refuses or only counts.
    pub mode: QuotaMode,
}

/// What a quota counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// Requests per window.
    Requests(Rate),
    /// Tokens per window.
    Tokens(Rate),
    /// Requests in flight.
    Concurrent(u64),
}

/// An amount per window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// How much.
    pub amount: u64,
    /// In how long.
    pub window: Window,
}

/// A window of the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// How many units.
    pub count: u32,
    /// The unit.
    pub unit: WindowUnit,
    /// IANA time zone of windows of days and months.
    pub time_zone: String,
}

/// Unit of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WindowUnit {
    /// Seconds.
    Second,
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days, from midnight to midnight.
    Day,
    /// Months, from the first to the first.
    Month,
}

/// How long each phase may take, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// TCP and TLS handshake.
    pub connect_ms: u64,
    /// To the first frame with content of one attempt (streams), as long as another backend can be asked.
    pub first_token_ms: u64,
    /// The same where no other backend can be asked.
    pub last_first_token_ms: u64,
    /// Between two frames with content (streams).
    pub idle_ms: u64,
    /// Between two bytes of any kind, once headers have arrived.
    pub byte_idle_ms: u64,
    /// One attempt of a call that is not streamed, as long as another backend or attempt is left.
    pub answer_ms: u64,
    /// The whole call.
    pub request_ms: u64,
}

/// What happens when an attempt fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Attempts in all.
    pub attempts: u32,
    /// Failures that another attempt may follow.
    pub retry_on: BTreeSet<RetryOn>,
    /// Pause before the same backend is tried again.
    pub backoff_base_ms: u64,
    /// Longest pause.
    pub backoff_max_ms: u64,
    /// Whether the pause is drawn between 0 and its full length.
    pub jitter: bool,
    /// When a backend is left alone.
    pub breaker: Breaker,
    /// Repeated and hedged attempts at a backend, in percent of its first ones.
    pub budget_percent: u32,
    /// A second backend is asked when the first has no token after this long; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_after_ms: Option<u64>,
    /// What happens when a stream breaks after content has flowed.
    #[serde(default)]
    pub mid_stream: MidStream,
    /// What is answered when every backend is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// What is answered when every backend is out, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// The last good answer to the same request.
    pub cached: bool,
    /// Another model of the same gateway, if the caller may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// A fixed text (chat only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// When a backend is left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Share of failures that opens it, in percent.
    pub error_percent: u32,
    /// Attempts needed before the share counts.
    pub min_requests: u32,
    /// Length of the window.
    pub window_ms: u64,
    /// How long it stays open.
    pub open_for_ms: u64,
    /// Timeouts one after the other that open it, whatever the share.
    pub consecutive_timeouts: u32,
    /// How long after closing again it takes to get its whole share of the calls back.
    pub slow_start_ms: u64,
}

/// A document as it is written into a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The JSON.
    pub json: String,
    /// Its SHA-256 in hexadecimal: what a gateway pod reports as loaded.
    pub sha256: String,
}

/// Why a document cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not those the operator wrote.
    #[error("the content does not match its SHA-256: it was changed by hand or cut off")]
    Digest,
    /// Not a document.
    #[error("not a compiled document: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by another version of the operator.
    #[error("document format {0} is not the format {FORMAT} that this gateway reads")]
    Format(u32),
}

impl Document {
    /// Writes the document down. The same document always gives the same bytes.
    pub fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let json = serde_json::to_string(self)?;
        let sha256 = sha256_hex(json.as_bytes());
        Ok(Encoded { json, sha256 })
    }

    /// Reads a document, checking its digest and format.
    pub fn decode(json: &str, sha256: &str) -> Result<Self, DecodeError> {
        if sha256_hex(json.as_bytes()) != sha256 {
            return Err(DecodeError::Digest);
        }
        let document: Self = serde_json::from_str(json)?;
        if document.format == FORMAT { Ok(document) } else { Err(DecodeError::Format(document.format)) }
    }
}
