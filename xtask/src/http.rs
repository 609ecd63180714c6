//! Asking our own servers on the loopback.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use ureq::Agent;

/// A client that knows no proxy and reports every status as it is.
pub(crate) fn agent() -> Agent {
    let config = Agent::config_builder().proxy(None).http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(30))).build().new_agent()
}

/// The JSON that `url` answers with.
pub(crate) fn get(url: &str) -> anyhow::Result<Value> {
    let mut response = agent().get(url).call().with_context(|| format!("no answer from {url}"))?;
    anyhow::ensure!(response.status() == 200, "{url} answers {}", response.status());
    response.body_mut().read_json().with_context(|| format!("{url} answers with what is not JSON"))
}

/// The status and text that `url` answers a POST of `body` with.
pub(crate) fn post(url: &str, key: &str, body: &Value) -> anyhow::Result<(u16, String)> {
    let request = agent().post(url).header("authorization", format!("Bearer {key}"));
    let mut response = request.send_json(body).with_context(|| format!("no answer from {url}"))?;
    let text = response.body_mut().read_to_string().with_context(|| format!("{url} answers half"))?;
    Ok((response.status().as_u16(), text))
}
