//! What each kind of server is sent.

use super::*;
use Flavor::{Azure, DeepSeek, Ollama, OpenAI, SGLang, SiliconFlow, VLLM};
use bytes::Bytes;
use serde_json::{Value, json};

fn spliced(body: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| (splice.at.start, splice.at.end));
    let mut out = String::new();
    let mut done = 0;
    for Splice { at, with } in splices {
        out.push_str(&body[done..at.start]);
        out.push_str(std::str::from_utf8(&with).expect("text"));
        done = at.end;
    }
    out + &body[done..]
}

fn sent_bytes(flavor: Flavor, body: &str) -> Result<String, Unfit> {
    fit(flavor, Endpoint::Chat, body.contains("\"stream\":true"), body.as_bytes())
        .map(|splices| spliced(body, splices))
}

/// What is sent of a conversation with these further fields, without the fields that are always there.
fn sent(flavor: Flavor, more: &str) -> Result<Value, Unfit> {
    let body = format!(r#"{{"model":"m", {more} "messages" : [ {{"role":"user","content":"é"}} ] }}"#);
    let sent = sent_bytes(flavor, &body)?;
    let mut sent: Value = serde_json::from_str(&sent).unwrap_or_else(|error| panic!("{error}: {sent}"));
    let top = sent.as_object_mut().expect("an object");
    assert_eq!(top.remove("model"), Some(json!("m")));
    assert_eq!(top.remove("messages"), Some(json!([{"role": "user", "content": "é"}])));
    Ok(sent)
}

/// The messages that are sent of these.
fn history(flavor: Flavor, more: &str, messages: &Value) -> Result<Value, Unfit> {
    let body = format!(r#"{{{more}"model":"m","messages":{messages}}}"#);
    let sent = sent_bytes(flavor, &body)?;
    let mut sent: Value = serde_json::from_str(&sent).unwrap_or_else(|error| panic!("{error}: {sent}"));
    Ok(sent["messages"].take())
}

const ON: &str = r#""thinking":{"type":"enabled"},"#;
const OFF: &str = r#""thinking" : { "type" : "disabled" },"#;

#[test]
fn deepseek_gets_a_body_in_its_own_dialect_byte_for_byte() {
    let tool = r#""tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none","#;
    for body in [
        format!(
            r#" {{"model":"m",{ON}"reasoning_effort":"max","messages":[{{"role":"user","content":"\ud83d\ude00"}}],"stream":true}}"#
        ),
        format!(
            r#"{{"model":"m",{OFF}{tool}"messages":[{{"role":"assistant","content":"x"}}],"seed":1.0e0}} "#
        ),
        format!(
            r#"{{"model":"m",{tool}"messages":[{{"role":"assistant","content":"x","reasoning_content":"hm"}}]}}"#
        ),
        r#"{"model":"m","messages":[{"role":"assistant","content":"so","prefix":true}],"stream":true}"#
            .into(),
    ] {
        assert_eq!(fit(DeepSeek, Endpoint::Chat, true, body.as_bytes()), Ok(Vec::new()), "{body}");
    }
}

#[test]
fn each_server_is_told_in_its_own_words_to_think_or_not() {
    let template = |thinks: bool| json!({"chat_template_kwargs": {"thinking": thinks}});
    for (flavor, on, off, unsaid) in [
        (VLLM, template(true), template(false), template(true)),
        (SGLang, template(true), template(false), template(true)),
        (
            SiliconFlow,
            json!({"enable_thinking": true}),
            json!({"enable_thinking": false}),
            json!({"enable_thinking": true}),
        ),
        (OpenAI, json!({"reasoning_effort": "high"}), json!({"reasoning_effort": "none"}), json!({})),
        (Azure, json!({"reasoning_effort": "high"}), json!({"reasoning_effort": "none"}), json!({})),
        (Ollama, json!({"reasoning_effort": "high"}), json!({"reasoning_effort": "none"}), json!({})),
    ] {
        assert_eq!(sent(flavor, ON), Ok(on), "{flavor:?}");
        assert_eq!(sent(flavor, OFF), Ok(off), "{flavor:?}");
        assert_eq!(sent(flavor, ""), Ok(unsaid.clone()), "{flavor:?}");
        assert_eq!(sent(flavor, r#""thinking":null,"#), Ok(unsaid), "{flavor:?}");
    }
}

#[test]
fn deepseek_understands_every_other_dialect() {
    let (on, off) = (json!({"thinking": {"type": "enabled"}}), json!({"thinking": {"type": "disabled"}}));
    for (said, wanted) in [
        (r#""chat_template_kwargs":{"thinking":true},"#, &on),
        (r#""chat_template_kwargs":{"enable_thinking":false},"#, &off),
        (r#""enable_thinking":true,"#, &on),
        (r#""enable_thinking":false,"chat_template_kwargs":{},"#, &off),
        (r#""reasoning_effort":"none","#, &off),
        (r#""thinking":null,"enable_thinking":false,"#, &off),
        (r#""thinking":{"type":"disabled"},"enable_thinking":true,"#, &off),
    ] {
        assert_eq!(sent(DeepSeek, said).as_ref(), Ok(wanted), "{said}");
    }
    assert_eq!(sent(DeepSeek, r#""max_completion_tokens":7,"#), Ok(json!({"max_tokens": 7})));
    assert_eq!(
        sent(DeepSeek, r#""max_tokens":null,"max_completion_tokens":7,"#),
        Ok(json!({"max_tokens": 7}))
    );
    assert_eq!(sent(VLLM, r#""max_completion_tokens":7,"#).unwrap()["max_completion_tokens"], 7);
}

#[test]
fn a_template_keeps_its_other_arguments_and_who_has_none_refuses_them() {
    let said = r#""thinking":{"type":"disabled"},"chat_template_kwargs":{"thinking":true,"x":1},"#;
    assert_eq!(sent(SGLang, said), Ok(json!({"chat_template_kwargs": {"thinking": false, "x": 1}})));
    let said = r#""chat_template_kwargs":{"x":1},"#;
    assert_eq!(sent(VLLM, said), Ok(json!({"chat_template_kwargs": {"thinking": true, "x": 1}})));
    for flavor in [DeepSeek, OpenAI, Azure, Ollama, SiliconFlow] {
        assert_eq!(sent(flavor, said), Err(Unfit { field: "chat_template_kwargs" }), "{flavor:?}");
    }
    assert_eq!(sent(VLLM, r#""thinking":{"type":"perhaps"},"#), Err(Unfit { field: "thinking" }));
}

#[test]
fn an_effort_is_said_in_the_nearest_word_that_the_server_knows() {
    let effort = |flavor, said: &str| {
        sent(flavor, &format!(r#"{ON}"reasoning_effort":"{said}","#)).unwrap()["reasoning_effort"].take()
    };
    for flavor in [VLLM, SGLang, Ollama] {
        assert_eq!(effort(flavor, "minimal"), "low");
        assert_eq!(effort(flavor, "medium"), "medium");
        assert_eq!(effort(flavor, "max"), "high");
    }
    for flavor in [OpenAI, Azure] {
        assert_eq!(effort(flavor, "xhigh"), "xhigh");
        assert_eq!(effort(flavor, "ultra"), "high");
    }
    assert_eq!(effort(SiliconFlow, "max"), "max");
    assert_eq!(effort(VLLM, "none"), Value::Null);
}

#[test]
fn a_beginning_is_gone_on_from_where_that_can_be_and_refused_elsewhere() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","content":"so","prefix":true}]}"#;
    for flavor in [VLLM, SGLang] {
        let sent: Value = serde_json::from_str(&sent_bytes(flavor, body).expect("fits")).expect("JSON");
        assert_eq!(sent["continue_final_message"], true);
        assert_eq!(sent["add_generation_prompt"], false);
        assert_eq!(sent["messages"], json!([{"role": "assistant", "content": "so"}]));
    }
    for flavor in [OpenAI, Azure, Ollama, SiliconFlow] {
        assert_eq!(sent_bytes(flavor, body), Err(Unfit { field: "messages.prefix" }), "{flavor:?}");
    }
}

#[test]
fn a_beginning_in_vllms_words_is_refused_where_only_deepseeks_would_do() {
    let body = r#"{"model":"m","messages":[{"role":"assistant","content":"so"}],"continue_final_message":true,"add_generation_prompt":false}"#;
    for flavor in [VLLM, SGLang] {
        let sent: Value = serde_json::from_str(&sent_bytes(flavor, body).expect("fits")).expect("JSON");
        assert_eq!(
            (&sent["continue_final_message"], &sent["add_generation_prompt"]),
            (&json!(true), &json!(false))
        );
    }
    for flavor in [DeepSeek, OpenAI, Azure, Ollama, SiliconFlow] {
        assert_eq!(sent_bytes(flavor, body), Err(Unfit { field: "continue_final_message" }), "{flavor:?}");
    }
    // As a broken answer to such a request is continued.
    let both = body.replace("\"so\"", "\"so\",\"prefix\":true");
    let sent: Value = serde_json::from_str(&sent_bytes(DeepSeek, &both).expect("fits")).expect("JSON");
    assert_eq!(
        sent,
        json!({"model": "m", "messages": [{"role": "assistant", "content": "so", "prefix": true}]})
    );
}

#[test]
fn what_a_server_would_leave_out_without_a_word_is_refused() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}],"#;
    for (said, field, carriers) in [
        (r#""guided_json":{},"#.to_owned(), "guided_json", &[VLLM][..]),
        (r#""structured_outputs":{"regex":"a"},"#.to_owned(), "structured_outputs", &[VLLM]),
        (r#""regex":"a","#.to_owned(), "regex", &[SGLang]),
        (r#""ebnf":"a","#.to_owned(), "ebnf", &[SGLang]),
        (
            format!(r#"{tools}"tool_choice":"required","#),
            "tool_choice",
            &[DeepSeek, OpenAI, Azure, SiliconFlow, VLLM, SGLang],
        ),
        (
            format!(r#"{tools}"tool_choice":"none","#),
            "tool_choice",
            &[DeepSeek, OpenAI, Azure, SiliconFlow, VLLM, SGLang],
        ),
        (r#""n":2,"#.to_owned(), "n", &[DeepSeek, OpenAI, Azure, SiliconFlow, VLLM, SGLang]),
    ] {
        for flavor in [DeepSeek, OpenAI, Azure, Ollama, SiliconFlow, VLLM, SGLang] {
            let wanted = if carriers.contains(&flavor) { None } else { Some(Unfit { field }) };
            assert_eq!(sent(flavor, &said).err(), wanted, "{flavor:?} {said}");
        }
    }
    for harmless in [r#""guided_json":null,"#.to_owned(), format!(r#"{tools}"tool_choice":"auto","n":1,"#)] {
        assert!(sent(Ollama, &harmless).is_ok(), "{harmless}");
    }
}

#[test]
fn openai_is_told_of_the_end_user_in_its_own_word() {
    for flavor in [OpenAI, Azure] {
        assert_eq!(sent(flavor, r#""user_id":"u","#), Ok(json!({"user": "u"})));
        assert_eq!(sent(flavor, r#""user":"v","user_id":"u","#), Ok(json!({"user": "v"})));
    }
    assert_eq!(sent(Ollama, r#""user_id":"u","#), Ok(json!({"user_id": "u"})));
}

#[test]
fn turns_with_tools_at_hand_bring_their_reasoning_to_deepseek() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}],"#;
    let turns = json!([
        {"role": "assistant", "content": "a"},
        {"content": "b", "reasoning_content": "", "role": "assistant"},
        {"role": "assistant", "content": "c", "reasoning_content": null},
        {"role": "assistant", "content": "d", "reasoning": "hm"},
        {"role": "assistant", "content": "e", "reasoning_content": null, "reasoning": "hm"},
        {"role": "assistant", "content": "f", "reasoning_content": "own"},
    ]);
    let sent = history(DeepSeek, tools, &turns).expect("fits");
    let brought: Vec<_> =
        sent.as_array().unwrap().iter().map(|turn| turn["reasoning_content"].as_str()).collect();
    assert_eq!(brought, [" ", " ", " ", "hm", "hm", "own"].map(Some));
    assert!(!sent.to_string().contains("\"reasoning\""), "{sent}");
    let off = format!("{tools}{OFF}");
    assert_eq!(history(DeepSeek, &off, &turns).unwrap()[0], turns[0]);
    let sent = history(VLLM, tools, &turns).expect("fits");
    assert_eq!(sent[5], json!({"role": "assistant", "content": "f", "reasoning": "own"}));
    assert_eq!(sent[0], turns[0]);
}

#[test]
fn a_developer_is_the_system_but_to_openai() {
    let said = json!([{"role": "developer", "content": "be \"developer\""}]);
    let system = json!([{"role": "system", "content": "be \"developer\""}]);
    for (flavor, wanted) in [(DeepSeek, &system), (VLLM, &system), (OpenAI, &said), (Azure, &said)] {
        assert_eq!(history(flavor, "", &said).as_ref(), Ok(wanted), "{flavor:?}");
    }
}

#[test]
fn usage_is_asked_for_where_it_comes_on_request_only() {
    for flavor in [OpenAI, VLLM, SGLang, Ollama, Azure] {
        for said in [
            "",
            r#""stream_options":null,"#,
            r#""stream_options":{},"#,
            r#""stream_options":{"include_usage":false},"#,
        ] {
            let sent = sent(flavor, &format!(r#"{said}"stream":true,"#)).expect("fits");
            assert_eq!(sent["stream_options"], json!({"include_usage": true}), "{flavor:?} {said}");
        }
        assert_eq!(sent(flavor, "").unwrap().get("stream_options"), None);
    }
    assert_eq!(sent(DeepSeek, r#""stream":true,"#), Ok(json!({"stream": true})));
}

#[test]
fn fim_and_other_apis_stay_as_they_are() {
    let body = br#"{"model":"m","prompt":"x","suffix":"y","thinking":{"type":"enabled"}}"#;
    assert_eq!(fit(VLLM, Endpoint::Completions, false, body), Err(Unfit { field: "suffix" }));
    assert_eq!(fit(Ollama, Endpoint::Completions, false, body), Ok(Vec::new()));
    assert_eq!(fit(VLLM, Endpoint::Responses, true, body), Ok(Vec::new()));
}

#[tokio::test]
async fn what_is_taken_out_and_put_in_at_the_same_place_does_not_collide() {
    use http_body_util::BodyExt as _;
    let body = Bytes::from_static(br#"{"thinking":{"type":"enabled"},"enable_thinking":true,"model":"m","messages":[],"thinking":{"type":"enabled"}}"#);
    let splices = fit(VLLM, Endpoint::Chat, false, &body).expect("fits");
    let sent = crate::upstream::splice::SplicedBody::new(&body, splices).collect().await.expect("infallible");
    let sent = String::from_utf8(sent.to_bytes().to_vec()).expect("text");
    assert_eq!(sent, r#"{"chat_template_kwargs":{"thinking":true},"model":"m","messages":[]}"#);
}

#[test]
fn a_continuation_still_goes_on_after_it_was_fitted() {
    use crate::pipeline::resume::continuation::{Next, Resumption};
    use crate::pipeline::resume::transcript::Transcript;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"thinking":{"type":"enabled"},"reasoning_effort":"high","stream":true}"#;
    let mut transcript = Transcript::default();
    transcript.add(
        b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
    );
    transcript.add(b"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"so\"}}]}\n\n");
    let Ok(Next::Ask(resumption)) =
        Resumption::of(Endpoint::Chat, &Bytes::from_static(body.as_bytes()), &transcript)
    else {
        panic!("it can be continued")
    };
    let fitted = |flavor: Flavor| -> Value {
        let asked = resumption.request(flavor).expect("it can go on");
        let splices = fit(flavor, asked.endpoint, true, &asked.body).expect("fits");
        let text = std::str::from_utf8(&asked.body).expect("text");
        serde_json::from_str(&spliced(text, splices)).expect("JSON")
    };
    for flavor in [VLLM, SGLang] {
        let sent = fitted(flavor);
        assert_eq!(
            (&sent["continue_final_message"], &sent["add_generation_prompt"]),
            (&json!(true), &json!(false))
        );
        assert!(sent["messages"][1]["content"].as_str().unwrap().ends_with("so"), "{sent}");
        assert_eq!(sent["chat_template_kwargs"]["thinking"], flavor == SGLang, "{sent}");
    }
    let sent = fitted(DeepSeek);
    let begun = json!({"role": "assistant", "content": "so", "reasoning_content": "hm", "prefix": true});
    assert_eq!((&sent["messages"][1], &sent["thinking"]["type"]), (&begun, &json!("enabled")));
}
