//! OpenAI's Python SDK, unmodified, talks to the gateway.

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Command;

use super::{
    client::{Client, is_from},
    quickstart::CALLER_KEY,
};

/// What `chat.py` prints.
#[derive(Debug, Deserialize)]
struct Chat {
    models: Vec<String>,
    whole: String,
    whole_tokens: u64,
    chunks: u64,
    streamed: String,
    reasoning: String,
    streamed_tokens: u64,
}

pub async fn with_the_sdk(client: &Client) -> anyhow::Result<()> {
    let mut python = Command::new(kubernetes_assets::client_python()?);
    python.args(["-c", include_str!("chat.py")]).kill_on_drop(true);
    python.env("BASE_URL", &client.base_url).env("API_KEY", CALLER_KEY).env("NO_PROXY", "*");
    let output = python.output().await.context("failed to start python")?;
    let (said, complaints) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "{said}{complaints}");
    let chat: Chat = serde_json::from_str(&said).with_context(|| said.clone())?;
    anyhow::ensure!(chat.models == ["deepseek-flash"], "{chat:?}");
    is_from("primary", &chat.whole)?;
    // The same question, the same answer: nothing was lost on the way.
    anyhow::ensure!(chat.streamed == chat.whole && !chat.reasoning.is_empty(), "{chat:?}");
    anyhow::ensure!(chat.chunks > 5 && chat.whole_tokens > 0 && chat.streamed_tokens > 0, "{chat:?}");
    Ok(())
}
