//! A stream of a provider as it was recorded, cut and split at every byte: the client gets the same payload, or a part of
//! it and an explicit error.

use crate::support::{KEY, client, hello_streamed, payloads, route, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mock_deepseek::{Mock, Options};
use serde_json::Value;

/// A recorded stream in small: reasoning, characters of two to four bytes, comments between events, usage at the end.
const STREAM: &str = ": keep-alive\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":null,\"reasoning_content\":\"思é\"},\"finish_reason\":null}]}\n\n: keep-alive\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi 🚀\\\"}\",\"reasoning_content\":null},\"finish_reason\":null}]}\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";

async fn recorded() -> Result<(Gateway, Mock, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("small.sse"), STREAM)?;
    let options = Options { recorded: Some(directory.path().to_owned()), ..Options::named("a") };
    let mock = Mock::start(options).await?;
    let policy =
        "  failover: {attempts: 1, circuitBreaker: {minRequests: 10000, consecutiveTimeouts: 1000}}\n";
    let gateway = Gateway::standalone(&world(&route(&[&mock], policy))).await?;
    Ok((gateway, mock, directory))
}

/// What a client gets of the stream under `scenario`: the status, and the body.
async fn got(client: &reqwest::Client, gateway: &Gateway, scenario: String) -> Result<(usize, u16, String)> {
    let at = scenario.rsplit('=').next().unwrap_or_default().trim_matches(['[', ']']).parse()?;
    let call = client.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&hello_streamed());
    let response = call.header("x-mock-scenario", scenario).send().await?;
    Ok((at, response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn split_at_any_byte_it_arrives_as_it_was() -> Result<()> {
    let (gateway, _mock, _directory) = recorded().await?;
    let client = client();
    let calls = (1..STREAM.len()).map(|at| got(&client, &gateway, format!("recorded=small&split_at=[{at}]")));
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(16).try_collect().await?;
    assert_eq!(answers.len(), STREAM.len() - 1);
    for (at, status, text) in answers {
        assert_eq!((status, text.as_str()), (200, STREAM), "split at {at}");
    }
    Ok(())
}

#[tokio::test]
async fn cut_at_any_byte_it_is_whole_or_says_that_it_is_not() -> Result<()> {
    let (gateway, _mock, _directory) = recorded().await?;
    let client = client();
    let finished = STREAM.find("\"usage\"").expect("a finish")
        + "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}".len();
    let calls = (0..STREAM.len()).map(|at| got(&client, &gateway, format!("recorded=small&cut_at={at}")));
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(16).try_collect().await?;
    let whole = payloads(STREAM);
    for (at, status, text) in answers {
        if status != 200 {
            let error: Value = serde_json::from_str(&text)?;
            assert!(error["error"]["code"].is_string(), "cut at {at}: {text}");
            continue;
        }
        let got = payloads(&text);
        let (last, before) = got.split_last().expect("something");
        assert_eq!(before, &whole[..before.len()], "cut at {at}: nothing else than what was sent");
        if at >= finished {
            assert_eq!(got, whole, "cut at {at}: nothing is missing");
        } else {
            let error: Value = serde_json::from_str(last)?;
            assert_eq!(error["error"]["code"], "stream_interrupted", "cut at {at}: {text}");
        }
    }
    let metrics = client.get(gateway.admin_url("/metrics")).send().await?.text().await?;
    assert!(metrics.contains("deepseek_gateway_requests_in_flight 0"), "{metrics}");
    Ok(())
}
