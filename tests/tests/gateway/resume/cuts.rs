//! A recorded stream cut at every byte and continued: the client gets all of its text, once, or is told.

use super::{Heard, ask};
use crate::support::{KEY, client, route, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mock_deepseek::{Mock, Options};

const THOUGHT: &str = "思 é. Then";
const SAID: &str = "Hi  🚀\"}\n\n\tnaïve\\ co-op erate ";

/// A stream that says [`THOUGHT`] and [`SAID`] in tokens as models have them: with the space in front, with two in a row,
/// with none, with a line break alone.
fn stream() -> String {
    let mut stream = String::from(
        ": keep-alive\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"\"},\"finish_reason\":null}]}\n\n",
    );
    let tokens = |field: &str, tokens: &[&str]| {
        let token = |token: &&str| {
            format!(
                "data: {{\"id\":\"r\",\"choices\":[{{\"index\":0,\"delta\":{{\"{field}\":{}}},\"finish_reason\":null}}]}}\n\n",
                serde_json::json!(token)
            )
        };
        tokens.iter().map(token).collect::<Vec<_>>().join(": keep-alive\n\n")
    };
    stream += &tokens("reasoning_content", &["思", " é", ".", " Then"]);
    stream += &tokens(
        "content",
        &["Hi", " ", " 🚀\"", "}", "\n\n", "\tna", "ïve", "\\", " co", "-", "op", " erate", " "],
    );
    stream
        + "data: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":18,\"total_tokens\":21}}\n\ndata: [DONE]\n\n"
}

#[tokio::test]
async fn cut_at_any_byte_the_whole_text_arrives_once() -> Result<()> {
    let stream = stream();
    let whole = Heard::of(&stream);
    assert_eq!((whole.reasoning.as_str(), whole.content.as_str()), (THOUGHT, SAID));
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("small.sse"), &stream)?;
    let recorded = Options { recorded: Some(directory.path().to_owned()), ..Options::named("a") };
    let (a, b) = (Mock::start(recorded).await?, Mock::start(Options::named("r")).await?);
    let policy = "  failover: {midStream: Resume, attempts: 2, circuitBreaker: {minRequests: 10000, consecutiveTimeouts: 1000}}\n";
    let gateway = Gateway::standalone(&world(&route(&[&a, &b], policy))).await?;
    b.set_default(serde_json::from_value::<mock_deepseek::Scenario>(
        serde_json::json!({"answer": SAID, "reasoning": THOUGHT}),
    )?);

    let client = client();
    let call = async |at: usize| -> Result<_> {
        a.set_for_user(&format!("cut-{at}"), format!("recorded=small&cut_at={at}").as_str());
        let mut body = ask(true);
        body["user_id"] = format!("cut-{at}").into();
        let call = client.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&body);
        let response = call.send().await?;
        Ok((at, response.status(), response.text().await?))
    };
    let calls = (0..stream.len()).map(call);
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(16).try_collect().await?;
    for (at, status, text) in answers {
        assert_eq!(status, 200, "cut at {at}: {text}");
        let heard = Heard::of(&text);
        assert!(heard.errors.is_empty() && heard.done, "cut at {at}: {text}");
        assert_eq!((heard.reasoning.as_str(), heard.content.as_str()), (THOUGHT, SAID), "cut at {at}");
        assert_eq!((heard.roles, heard.ids.len()), (1, 1), "cut at {at}: {text}");
    }
    Ok(())
}
