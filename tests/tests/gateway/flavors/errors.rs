//! Errors of other kinds of servers: what the client reads, and who is asked next.

use super::{OTHERS, asking, over, server};
use crate::support::{chat, chat_json, code, payloads, upstream, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::Flavor;
use serde_json::{Value, json};

#[tokio::test]
async fn the_callers_mistake_is_told_in_openais_envelope_by_whatever_server() -> Result<()> {
    let kinds =
        OTHERS.map(|(flavor, kind, _)| (flavor, kind)).into_iter().chain([(Flavor::DeepSeek, "DeepSeek")]);
    for (flavor, kind) in kinds {
        for (scenario, status, wanted) in [
            ("error=context", 400, "context_length_exceeded"),
            ("error=content_risk", 400, "content_filter"),
            ("error=invalid", 400, "invalid_request_error"),
            ("error=unprocessable", 422, "invalid_request_error"),
            ("status=413&error=html", 413, "request_too_large"),
        ] {
            let (up, standby) = (server(flavor).await?, upstream("standby").await?);
            up.set_default(scenario);
            let gateway = over(&[(&up, kind), (&standby, "DeepSeek")], "").await?;
            for stream in [false, true] {
                let response = chat(&gateway, &asking(false, stream)).await?;
                assert_eq!(response.status(), status, "{kind} {scenario}");
                assert_eq!(response.headers()["content-type"], "application/json", "{kind} {scenario}");
                let answer: Value = response.json().await?;
                let error = &answer["error"];
                assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{kind}: {answer}");
                assert_eq!(error["type"], "invalid_request_error", "{kind} {scenario}: {answer}");
                // DeepSeek has one code for all of them.
                let is_deepseeks = kind == "DeepSeek" && status != 413;
                let wanted = if is_deepseeks { "invalid_request_error" } else { wanted };
                assert_eq!(code(&answer), wanted, "{kind} {scenario}: {answer}");
            }
            assert_eq!((up.stats().requests, standby.stats().requests), (2, 0), "{kind} {scenario}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_callers_mistake_in_the_first_event_of_a_200_is_a_400_and_never_retried() -> Result<()> {
    for (flavor, kind) in [(Flavor::SgLang, "SGLang"), (Flavor::Vllm, "VLLM"), (Flavor::DeepSeek, "DeepSeek")]
    {
        let (up, standby) = (server(flavor).await?, upstream("standby").await?);
        up.set_default("error_after=0&error=context");
        let gateway = over(&[(&up, kind), (&standby, "DeepSeek")], "").await?;
        let (status, answer) = chat_json(&gateway, &asking(true, true)).await?;
        assert_eq!(status, 400, "{kind}: {answer}");
        assert!(
            answer["error"]["message"].as_str().is_some_and(|m| m.contains("context length")),
            "{answer}"
        );
        assert_eq!((up.stats().requests, standby.stats().requests), (1, 0), "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn an_error_amid_a_stream_is_seen_in_every_servers_form() -> Result<()> {
    for (flavor, kind, _) in OTHERS {
        let up = server(flavor).await?;
        up.set_default("error_after=4&error=server");
        let gateway = over(&[(&up, kind)], "").await?;
        let text = chat(&gateway, &asking(true, true)).await?.text().await?;
        let payloads = payloads(&text);
        let last: Value = serde_json::from_str(payloads.last().expect("frames"))?;
        assert_eq!(code(&last), "stream_interrupted", "{kind}: {text}");
        assert!(!payloads.contains(&"[DONE]"), "{kind}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_model_that_lacks_what_is_asked_for_is_passed_over_for_another() -> Result<()> {
    let message = "error=bad_request&message=\"r1\" does not support thinking";
    let (a, b) = (server(Flavor::Ollama).await?, upstream("b").await?);
    a.set_default(message);
    let gateway = over(&[(&a, "Ollama"), (&b, "DeepSeek")], "").await?;
    let (status, answer) = chat_json(&gateway, &asking(true, false)).await?;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((a.stats().requests, b.stats().requests), (1, 1));
    let gateway = over(&[(&a, "Ollama")], "").await?;
    let (status, answer) = chat_json(&gateway, &asking(true, false)).await?;
    assert_eq!(
        (status, code(&answer), &answer["error"]["param"]),
        (400, "invalid_value", &json!("thinking"))
    );
    Ok(())
}

#[tokio::test]
async fn a_mistake_told_after_the_head_was_sent_is_one_event_in_openais_envelope() -> Result<()> {
    let up = server(Flavor::SgLang).await?;
    up.set_default("error=context&header_delay_ms=1500");
    let documents = format!(
        "apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekRoute
metadata: {{name: chat}}
spec:
  model: deepseek-flash
  keepAlive: {{interval: 1s}}
  backends:
  - {{name: up, baseUrl: \"{}/v1\", flavor: SGLang}}
",
        up.base_url()
    );
    let gateway = Gateway::standalone(&world(&documents)).await?;
    let response = chat(&gateway, &asking(true, true)).await?;
    assert_eq!(response.status(), 200);
    let text = response.text().await?;
    let [error] = payloads(&text)[..] else { panic!("one event: {text}") };
    let error: Value = serde_json::from_str(error)?;
    assert_eq!(code(&error), "context_length_exceeded", "{text}");
    assert_eq!(error["error"]["type"], "invalid_request_error", "{text}");
    assert_eq!(up.stats().requests, 1);
    Ok(())
}
