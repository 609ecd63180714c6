//! A recorded stream cut at every byte and continued: the client gets all of its text, once, or is told.

use super::{Heard, ask, flavored};
use crate::support::{KEY, client};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mock_deepseek::{Flavor, Mock, Options, Scenario};

const THOUGHT: &str = "思 é. Then";
const SAID: &str = "Hi  🚀\"}\n\n\tnaïve\\ co-op erate ";

const PATIENT: &str = "  failover: {midStream: Resume, attempts: 3, budgetPercent: 100, backoff: {base: 1ms, max: 5ms}, circuitBreaker: {errorPercent: 100, minRequests: 10000, consecutiveTimeouts: 1000}}\n";

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

/// The stream at a backend, continued by others.
struct Rig {
    stream: String,
    first: Mock,
    others: Vec<Mock>,
    gateway: Gateway,
    client: reqwest::Client,
    _recorded: tempfile::TempDir,
}

impl Rig {
    async fn new(others: &[Flavor]) -> Result<Self> {
        let (stream, recorded) = (stream(), tempfile::tempdir()?);
        std::fs::write(recorded.path().join("small.sse"), &stream)?;
        let options = Options { recorded: Some(recorded.path().to_owned()), ..Options::named("first") };
        let first = Mock::start(options).await?;
        let mut backends = Vec::new();
        for (number, flavor) in others.iter().enumerate() {
            let name = format!("other-{number}");
            let options =
                if flavor.is_deepseek() { Options::named(name) } else { Options::flavored(name, *flavor) };
            let mock = Mock::start(options).await?;
            mock.set_default(says());
            backends.push(mock);
        }
        let all =
            std::iter::once((&first, Flavor::DeepSeek)).chain(backends.iter().zip(others.iter().copied()));
        let gateway = flavored(&all.collect::<Vec<_>>(), PATIENT).await?;
        Ok(Self { stream, first, others: backends, gateway, client: client(), _recorded: recorded })
    }

    /// What a client gets when the first breaks after `at` bytes, by FIN or by RST in turn, and refuses to go on itself.
    async fn cut(&self, at: usize) -> Result<(usize, Heard, String)> {
        let way = if at.is_multiple_of(2) { "fin" } else { "rst" };
        let user = format!("cut-{at}");
        self.first
            .set_for_user(&user, format!("recorded=small&reject_prefix=true&cut_at={at}&cut={way}").as_str());
        let mut body = ask(true);
        body["user_id"] = user.into();
        let call = self.client.post(self.gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&body);
        let response = call.send().await?;
        let status = response.status();
        let text = response.text().await?;
        assert_eq!(status, 200, "cut at {at}: {text}");
        Ok((at, Heard::of(&text), text))
    }

    /// The same for every `step`th byte.
    async fn cuts(&self, step: usize) -> Result<Vec<(usize, Heard, String)>> {
        let calls = (0..self.stream.len()).step_by(step).map(|at| self.cut(at));
        stream::iter(calls).buffer_unordered(16).try_collect().await
    }
}

/// The scenario of a backend that would say the same.
fn says() -> Scenario {
    Scenario { answer: Some(SAID.into()), reasoning: Some(THOUGHT.into()), ..Scenario::plain() }
}

fn assert_whole(at: usize, heard: &Heard, text: &str) {
    assert!(heard.errors.is_empty() && heard.done, "cut at {at}: {text}");
    assert_eq!((heard.reasoning.as_str(), heard.content.as_str()), (THOUGHT, SAID), "cut at {at}");
    assert_eq!((heard.roles, heard.ids.len(), heard.finish.len()), (1, 1, 1), "cut at {at}: {text}");
}

#[tokio::test]
async fn cut_at_any_byte_the_whole_text_arrives_once() -> Result<()> {
    let rig = Rig::new(&[Flavor::DeepSeek]).await?;
    let whole = Heard::of(&rig.stream);
    assert_eq!((whole.reasoning.as_str(), whole.content.as_str()), (THOUGHT, SAID));
    for (at, heard, text) in rig.cuts(1).await? {
        assert_whole(at, &heard, &text);
    }
    Ok(())
}

#[tokio::test]
async fn cut_twice_at_any_byte_the_whole_text_arrives_once_or_the_client_is_told_that_its_end_is_missing()
-> Result<()> {
    let rig = Rig::new(&[Flavor::DeepSeek, Flavor::DeepSeek]).await?;
    for at in 0..rig.stream.len() {
        let again = Scenario { cut_at: Some(at * 7 % 1500), ..says() };
        rig.others[0].set_for_user(&format!("cut-{at}"), again);
    }
    for (at, heard, text) in rig.cuts(3).await? {
        // Where only the end was missing and the second broke as well, the third is alone in saying that nothing is left.
        if heard.content == SAID && heard.finish.is_empty() {
            assert!(!heard.done && heard.errors.len() == 1, "cut at {at}: {text}");
        } else {
            assert_whole(at, &heard, &text);
        }
    }
    Ok(())
}

#[tokio::test]
async fn cut_at_any_byte_sglang_says_the_rest() -> Result<()> {
    let rig = Rig::new(&[Flavor::SgLang]).await?;
    for (at, heard, text) in rig.cuts(5).await? {
        assert_whole(at, &heard, &text);
    }
    Ok(())
}

#[tokio::test]
async fn cut_at_any_byte_vllm_says_the_rest_of_the_content_or_the_client_is_told() -> Result<()> {
    let rig = Rig::new(&[Flavor::Vllm]).await?;
    let token = "\"reasoning_content\":\"思\"},\"finish_reason\":null}]}";
    let thought = rig.stream.find(token).expect("the first token") + token.len();
    let said = rig.stream.find("\"content\":\"Hi\"").expect("the first content");
    let said = said + rig.stream[said..].find("}]}").expect("its end") + "}]}".len();
    let mut told = 0;
    for (at, heard, text) in rig.cuts(5).await? {
        if heard.errors.is_empty() {
            assert_whole(at, &heard, &text);
            continue;
        }
        told += 1;
        // Its silence, where nothing but the end is missing, is no proof that nothing is.
        let all_said = heard.content == SAID && heard.finish.is_empty();
        assert!((thought..said).contains(&at) && heard.content.is_empty() || all_said, "cut at {at}: {text}");
        assert!(!heard.done && heard.errors.len() == 1, "cut at {at}: {text}");
        assert!(THOUGHT.starts_with(&heard.reasoning), "cut at {at}: {text}");
    }
    assert!(told > 0, "inside of the reasoning it cannot");
    Ok(())
}
