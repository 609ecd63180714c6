//! How a fake is set up when it starts; what changes later is in [`Mock`](crate::Mock)'s methods.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use crate::{Flavor, Scenario};

/// How a fake is set up. `Options::default()` is a healthy DeepSeek on a free port of the loopback.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// A second listener for the admin paths alone; they are on the first one either way.
    pub admin: Option<SocketAddr>,
    /// Speaks TLS with this; faults of the connection then hit below it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Its name: every answer says it, so that one sees who answered.
    pub name: String,
    /// The server it plays.
    pub flavor: Flavor,
    /// The keys it accepts. Empty accepts any `sk-…`, and in another flavor than DeepSeek's any key or none.
    pub keys: Vec<String>,
    /// The account each key belongs to; other keys belong to the account `default`.
    pub accounts: BTreeMap<String, String>,
    /// The models it serves. Empty serves any, but DeepSeek serves only what is listed. Names `mock/…` are always served.
    pub models: Vec<String>,
    /// Other names and the model that serves them.
    pub aliases: Vec<(String, String)>,
    /// Tokens that prompt and completion may have together.
    pub context: u64,
    /// The largest `max_tokens`.
    pub max_output: i64,
    /// A directory of recorded answers: `NAME.json` for whole ones, `NAME.chunks.txt` with one chunk a line
    /// or `NAME.sse` with the very bytes for streams.
    pub recorded: Option<PathBuf>,
    /// The scenario of requests that choose none.
    pub scenario: Scenario,
    /// Whether requests are kept for [`Mock::requests`](crate::Mock::requests).
    pub record: bool,
    /// How many requests are kept, the newest ones.
    pub record_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            tls: None,
            name: "mock".into(),
            flavor: Flavor::DeepSeek,
            keys: Vec::new(),
            accounts: BTreeMap::new(),
            models: vec!["deepseek-flash".into(), "deepseek-v4-pro".into()],
            aliases: vec![
                ("deepseek-v4-flash".into(), "deepseek-flash".into()),
                ("deepseek-v4-flash-vision-exp".into(), "deepseek-flash".into()),
            ],
            context: 1_048_576,
            max_output: 393_216,
            recorded: None,
            scenario: Scenario::plain(),
            record: true,
            record_limit: 100_000,
        }
    }
}

impl Options {
    /// A healthy DeepSeek of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Another kind of server of this name, which serves any model.
    pub fn flavored(name: impl Into<String>, flavor: Flavor) -> Self {
        Self { flavor, models: Vec::new(), aliases: Vec::new(), ..Self::named(name) }
    }

    /// The account that a key draws on.
    pub(crate) fn account_of(&self, key: &str) -> &str {
        self.accounts.get(key).map_or("default", String::as_str)
    }

    /// Whether a key is let in.
    pub(crate) fn accepts(&self, key: &str) -> bool {
        match (self.keys.is_empty(), self.is_open()) {
            (true, open) => open || (key.len() > 3 && key.starts_with("sk-")),
            (false, _) => self.keys.iter().any(|known| known == key),
        }
    }

    /// Whether requests need no key at all.
    pub(crate) fn is_open(&self) -> bool {
        self.keys.is_empty() && !self.flavor.is_deepseek()
    }
}
