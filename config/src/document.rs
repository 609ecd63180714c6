//! The compiled documents: what one ConfigMap holds as `config.json`, with its SHA-256 beside it.
//!
//! A document is complete and checked: defaults filled in, durations in milliseconds, references turned into ids.
//! A route names its backends by id; the gateway joins them. Secret values are never in a document, only [`KeyId`]s.

mod account;
mod id;
mod route;

pub use account::*;
pub use id::*;
pub use route::*;

use crate::keys::{ApiKeyHash, KeyId, sha256_hex};
use deepseek_crds::v1alpha1::{AuthMode, ListenerProtocol, LogLevel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the document format; a gateway refuses any other.
pub const FORMAT: u32 = 1;

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
