//! A stream of a provider as it was recorded, cut and split at every byte: the client gets the same payload, or a part of
//! it and an explicit error.

use crate::support::{
    KEY, client, client_builder, counter, gateway, hello_streamed, payloads, route, upstream, world,
};
use anyhow::Result;
use deepseek_tests::failures::answer::Answer;
use deepseek_tests::gateway::Gateway;
use futures::future::try_join;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mock_deepseek::{Mock, Options};
use serde_json::Value;
use std::collections::HashSet;

/// A recorded stream in small: reasoning, characters of two to four bytes, comments between events, usage at the end.
const STREAM: &str = ": keep-alive\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":null,\"reasoning_content\":\"思é\"},\"finish_reason\":null}]}\n\n: keep-alive\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi 🚀\\\"}\",\"reasoning_content\":null},\"finish_reason\":null}]}\n\ndata: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n\ndata: [DONE]\n\n";

async fn recorded() -> Result<(Gateway, Mock, tempfile::TempDir)> {
    serving("attempts: 1", [("small".to_owned(), STREAM.to_owned())]).await
}

/// A fake that has recorded these streams, by name, and a gateway in front of it that is patient with its faults;
/// `failover` is more of how it handles them.
async fn serving(
    failover: &str,
    streams: impl IntoIterator<Item = (String, String)>,
) -> Result<(Gateway, Mock, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    for (name, stream) in streams {
        std::fs::write(directory.path().join(format!("{name}.sse")), stream)?;
    }
    let options = Options { recorded: Some(directory.path().to_owned()), ..Options::named("a") };
    let mock = Mock::start(options).await?;
    let policy = format!(
        "  failover: {{{failover}, circuitBreaker: {{minRequests: 10000, consecutiveTimeouts: 1000}}}}\n"
    );
    let gateway = Gateway::standalone(&world(&route(&[&mock], &policy))).await?;
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

/// What may stand between two events without being one. Those without a blank line at their end belong to the event that
/// follows.
const BETWEEN: &[&str] = &[
    ": keep-alive\n\n",
    ":\n",
    ": data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a comment\"}}]}\n\n",
    "\n",
    "\n\n\n",
    "\r\n\r\n",
    "retry: 3000\n\n",
    "retry: 3000\n",
    "id: 7\n",
    "id: 7\n\n",
    "event: message\n",
    "id: 7\nevent: message\nretry: 3000\n: keep-alive\n",
];

/// [`STREAM`] with each of [`BETWEEN`] before each event or behind the last, and before all of them.
fn interleaved() -> Vec<String> {
    let events: Vec<_> = STREAM.split_inclusive("\n\n").collect();
    let at = |place: usize, what: &str| [&events[..place], &[what], &events[place..]].concat().concat();
    let each = BETWEEN.iter().flat_map(|what| (0..=events.len()).map(|place| at(place, what)));
    let all = BETWEEN.iter().map(|what| events.iter().map(|event| format!("{what}{event}")).collect());
    each.chain(all).collect()
}

#[tokio::test]
async fn whatever_stands_between_events_leaves_the_payloads_as_they_are() -> Result<()> {
    let streams = interleaved();
    let named = |(number, stream): (usize, &String)| (format!("s{number}"), stream.clone());
    for failover in ["midStream: Fail", "midStream: Resume"] {
        let (gateway, _mock, _directory) = serving(failover, streams.iter().enumerate().map(named)).await?;
        let client = client();
        for (number, stream) in streams.iter().enumerate() {
            for pieces in ["split=0", "split=1"] {
                let call = client.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY);
                let call = call.header("x-mock-scenario", format!("recorded=s{number}&{pieces}"));
                let response = call.json(&hello_streamed()).send().await?;
                assert_eq!(response.status(), 200, "{stream}");
                let text = response.text().await?;
                assert_eq!(
                    payloads(&text),
                    payloads(STREAM),
                    "{failover} {pieces} {stream:?} became {text:?}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_streams_on_one_http2_connection_do_not_mix() -> Result<()> {
    let mock = upstream("a").await?;
    let gateway = gateway(&[&mock], "").await?;
    let client = client_builder().http2_prior_knowledge().build()?;
    let said = |name: &str| (0..60).map(|word| format!("{name}{word}")).collect::<Vec<_>>().join(" ");
    let call = |text: &str| {
        let call = client.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY);
        let mut body = hello_streamed();
        body["messages"][0]["content"] = text.into();
        call.header("x-mock-scenario", format!("answer={text}&chunks=60&chunk_delay_ms=10")).json(&body)
    };
    Answer::to(call("the connection is open")).await?.whole()?;
    let (one, two) = (said("one"), said("two"));
    let (first, second) = try_join(Answer::to(call(&one)), Answer::to(call(&two))).await?;
    for (answer, text) in [(&first, &one), (&second, &two)] {
        answer.whole()?;
        assert_eq!(&answer.text("content"), text);
        let ids: HashSet<_> = answer.frames().iter().map(|frame| frame["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    assert_ne!(first.frames()[0]["id"], second.frames()[0]["id"]);
    assert_eq!(mock.stats().peak_concurrency.into_values().max(), Some(2), "at the same time");
    assert_eq!(counter(&gateway, "deepseek_gateway_connections").await?, 1);
    Ok(())
}
