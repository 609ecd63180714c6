//! Clients of the gateway's Service. None of them tries again: what fails is seen.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use serde_json::{Value, json};

use super::{
    quickstart::CALLER_KEY,
    site::{GatewayPod, SYSTEM, Site},
};

/// A stream of two seconds.
pub const TWO_SECONDS: &str = "thinking=false&chunks=40&chunk_delay_ms=50";

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Reaches the gateway from outside the cluster, as the machine of the test can.
#[derive(Clone, Debug)]
pub struct Client {
    /// The base URL, as an SDK wants it.
    pub base_url: String,
}

/// A client whose connections are its own.
pub fn http() -> anyhow::Result<reqwest::Client> {
    Ok(builder().build()?)
}

fn builder() -> reqwest::ClientBuilder {
    // Fails only when a provider was installed before; that one then stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().retry(reqwest::retry::never()).timeout(PATIENCE)
}

/// A client that connects anew for each request, and gives up after `timeout`.
pub fn fresh(timeout: Duration) -> anyhow::Result<reqwest::Client> {
    Ok(builder().pool_max_idle_per_host(0).timeout(timeout).build()?)
}

/// Answers tell who gave them: `[primary deepseek-flash] You said: …`.
pub fn is_from(upstream: &str, text: &str) -> anyhow::Result<()> {
    anyhow::ensure!(text.starts_with(&format!("[{upstream} ")), "answered: {text:?}");
    Ok(())
}

impl Client {
    /// Reaches one pod of the gateway, past its Service.
    pub fn of_pod(pod: &GatewayPod) -> Self {
        Self { base_url: format!("http://{}:8080/v1", pod.address) }
    }

    /// Reaches the gateway by the address of its Service.
    pub async fn connect(site: &Site<'_>) -> anyhow::Result<Self> {
        let service = Api::<Service>::namespaced(site.node.client().await?, SYSTEM).get("default").await?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
        Ok(Self { base_url: format!("http://{address}:8080/v1") })
    }

    /// Asks for a whole answer, by a connection of its own, and returns its text.
    pub async fn ask(&self) -> anyhow::Result<String> {
        self.ask_by(&fresh(PATIENCE)?).await
    }

    /// Asks for a whole answer and returns its text; anything but a complete 200 is an error.
    pub async fn ask_by(&self, http: &reqwest::Client) -> anyhow::Result<String> {
        let response = self.request(http, false).send().await?;
        let status = response.status();
        let body = response.text().await?;
        anyhow::ensure!(status == 200, "{status}: {body}");
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("not JSON: {body:?}"))?;
        let choice = &answer["choices"][0];
        anyhow::ensure!(choice["finish_reason"] == "stop", "{body}");
        Ok(choice["message"]["content"].as_str().context("no content")?.to_owned())
    }

    /// Asks for a stream that takes a while and returns its text; anything but a complete 200 is an error.
    pub async fn stream_by(&self, http: &reqwest::Client) -> anyhow::Result<String> {
        let request = self.request(http, true).header("x-mock-scenario", TWO_SECONDS);
        let response = request.send().await?;
        let status = response.status();
        let body = response.text().await.context("the stream broke off")?;
        anyhow::ensure!(status == 200, "{status}: {body}");
        let frames: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let (last, frames) = frames.split_last().context("an empty stream")?;
        anyhow::ensure!(*last == "[DONE]", "the stream ends with {last}");
        let mut text = String::new();
        let mut finished = false;
        for frame in frames {
            let frame: Value = serde_json::from_str(frame).with_context(|| format!("not JSON: {frame}"))?;
            let choice = &frame["choices"][0];
            text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
            finished |= choice["finish_reason"] == "stop";
        }
        anyhow::ensure!(finished, "no frame says why the stream ended: {body}");
        Ok(text)
    }

    /// Status and body of a call, whatever they are.
    pub async fn look(&self) -> anyhow::Result<(u16, Value)> {
        let response = self.request(&fresh(PATIENCE)?, false).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    fn request(&self, http: &reqwest::Client, stream: bool) -> reqwest::RequestBuilder {
        let body = json!({
            "model": "deepseek-flash",
            "messages": [{"role": "user", "content": "Are you there?"}],
            "thinking": {"type": "disabled"},
            "stream": stream,
        });
        http.post(format!("{}/chat/completions", self.base_url)).bearer_auth(CALLER_KEY).json(&body)
    }
}
