use super::*;
use serde_json::{Value, json};

/// A transcript of an answer that has thought and said this.
fn sent(reasoning: &str, content: &str) -> Transcript {
    let mut transcript = Transcript::default();
    let mut add = |delta: Value| {
        let chunk = json!({"id": "a-1", "model": "m", "choices": [{"index": 0, "delta": delta}]});
        transcript.add(format!("data: {chunk}\n\n").as_bytes());
    };
    add(json!({"role": "assistant", "content": ""}));
    for (field, text) in [("reasoning_content", reasoning), ("content", content)] {
        text.split_inclusive(' ').for_each(|token| add(json!({ field: token })));
    }
    transcript
}

fn asked(body: &str, transcript: &Transcript, flavor: Flavor) -> Option<(Endpoint, String)> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    match Resumption::of(Endpoint::Chat, &body, transcript).expect("it can be continued") {
        Next::Ask(resumption) => {
            let asked = resumption.request(flavor)?;
            assert!(resumption.is_for(flavor));
            Some((asked.endpoint, String::from_utf8(asked.body.to_vec()).expect("UTF-8")))
        }
        Next::End(end) => panic!("{end:?}"),
    }
}

fn obstacle(body: &str, transcript: &Transcript) -> Option<Outcome> {
    Resumption::of(Endpoint::Chat, &Bytes::copy_from_slice(body.as_bytes()), transcript).err()
}

const BODY: &str =
    r#" { "model": "m","messages" : [{"role":"user","content":"\u00e9"} ], "x": 1e2,"max_tokens":50 }"#;

#[test]
fn deepseek_goes_on_from_a_prefix_and_every_other_byte_stays() {
    let (endpoint, body) = asked(BODY, &sent("", "say \"so\" "), Flavor::DeepSeek).expect("it can");
    assert_eq!(endpoint, Endpoint::BetaChat);
    assert_eq!(
        body,
        r#" { "model": "m","messages" : [{"role":"user","content":"\u00e9"},{"role":"assistant","content":"say \"so\" ","prefix":true} ], "x": 1e2,"max_tokens":48 }"#
    );
}

#[test]
fn deepseek_is_given_the_reasoning_too_also_where_it_was_not_over() {
    let (_, body) = asked(BODY, &sent("We need ", ""), Flavor::DeepSeek).expect("it can");
    let last = r#",{"role":"assistant","content":"","reasoning_content":"We need ","prefix":true} ]"#;
    assert!(body.contains(last), "{body}");
    let (_, body) = asked(BODY, &sent("We need ", "It "), Flavor::DeepSeek).expect("it can");
    let last = r#",{"role":"assistant","content":"It ","reasoning_content":"We need ","prefix":true} ]"#;
    assert!(body.contains(last), "{body}");
    assert!(body.ends_with(r#""max_tokens":47 }"#), "{body}");
}

#[test]
fn sglang_appends_what_it_is_given_to_the_prompt_thinking_included() {
    let read = |transcript: &Transcript| {
        let (endpoint, body) = asked(BODY, transcript, Flavor::SGLang).expect("it can");
        assert_eq!(endpoint, Endpoint::Chat);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (&body["continue_final_message"], &body["add_generation_prompt"]),
            (&json!(true), &json!(false))
        );
        (body["messages"][1]["content"].clone(), body["chat_template_kwargs"]["thinking"].clone())
    };
    assert_eq!(read(&sent("We need ", "")), (json!("We need "), json!(true)));
    assert_eq!(read(&sent("We need ", "It ")), (json!("We need </think>It "), json!(true)));
    assert_eq!(read(&sent("", "It ")), (json!("It "), json!(false)));
}

#[test]
fn vllm_goes_on_with_content_without_thinking_and_not_with_reasoning() {
    let (endpoint, body) = asked(BODY, &sent("We need ", "It "), Flavor::VLLM).expect("it can");
    assert_eq!(endpoint, Endpoint::Chat);
    assert_eq!(
        body,
        r#" {"continue_final_message":true,"add_generation_prompt":false,"chat_template_kwargs":{"thinking":false,"enable_thinking":false}, "model": "m","messages" : [{"role":"user","content":"\u00e9"},{"role":"assistant","content":"It "} ], "x": 1e2,"max_tokens":47 }"#
    );
    assert_eq!(asked(BODY, &sent("We need ", ""), Flavor::VLLM), None);
}

#[test]
fn the_callers_own_settings_of_the_template_are_changed_in_place() {
    let body = r#"{"messages":[{"role":"user","content":"x"}],"thinking":{"type":"enabled"},"chat_template_kwargs":{"thinking":true,"a":1},"add_generation_prompt":true}"#;
    let (_, body) = asked(body, &sent("", "It "), Flavor::VLLM).expect("it can");
    assert_eq!(
        body,
        r#"{"continue_final_message":true,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"It "}],"thinking":{"type":"disabled"},"chat_template_kwargs":{"enable_thinking":false,"thinking":false,"a":1},"add_generation_prompt":false}"#
    );
    let empty = r#"{"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{}}"#;
    let (_, body) = asked(empty, &sent("", "It "), Flavor::VLLM).expect("it can");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["chat_template_kwargs"], json!({"thinking": false, "enable_thinking": false}));
}

#[test]
fn the_callers_own_beginning_of_the_answer_grows() {
    let own = r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"```py\n","prefix":true}]}"#;
    let (_, body) = asked(own, &sent("hm ", "import "), Flavor::DeepSeek).expect("it can");
    assert_eq!(
        body,
        r#"{"messages":[{"role":"user","content":"x"},{"reasoning_content":"hm ","role":"assistant","content":"```py\nimport ","prefix":true}]}"#
    );
    let (_, body) = asked(own, &sent("", "import "), Flavor::VLLM).expect("it can");
    let message = r#"{"role":"assistant","content":"```py\nimport ","prefix":false}]}"#;
    assert!(body.ends_with(message), "{body}");
    let (_, body) = asked(own, &sent("hm ", ""), Flavor::SGLang).expect("it can");
    assert!(body.contains(r#""content":"hm </think>```py\n""#), "{body}");
    let parts = own.replace(r#""```py\n""#, r#"[{"type":"text","text":"x"}]"#);
    assert_eq!(obstacle(&parts, &sent("", "import ")), Some(Outcome::Unreadable));
}

#[test]
fn other_servers_cannot_go_on_but_can_begin_anew_where_nothing_was_said() {
    for flavor in [Flavor::OpenAI, Flavor::Ollama, Flavor::Azure, Flavor::SiliconFlow] {
        assert_eq!(asked(BODY, &sent("", "It "), flavor), None);
        assert_eq!(asked(BODY, &sent("", ""), flavor), Some((Endpoint::Chat, BODY.to_owned())));
    }
}

#[test]
fn what_cannot_be_continued_says_why() {
    let said = sent("", "It ");
    assert_eq!(obstacle(BODY, &said), None);
    let with = |field: &str| BODY.replacen(" { ", &format!("{{{field},"), 1);
    assert_eq!(obstacle(&with(r#""n":2"#), &said), Some(Outcome::Choices));
    assert_eq!(obstacle(&with(r#""logprobs":true"#), &said), Some(Outcome::Logprobs));
    let json = with(r#""response_format":{"type":"json_object"}"#);
    assert_eq!(obstacle(&json, &said), Some(Outcome::Structured));
    assert_eq!(obstacle(&json, &sent("We ", "")), None);
    let mut tools = said;
    tools.add(b"data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n");
    assert_eq!(obstacle(BODY, &tools), Some(Outcome::Tools));
}

#[test]
fn an_answer_that_lacks_only_its_end_is_given_one() {
    let end = |body: &str, transcript: &Transcript| match Resumption::of(
        Endpoint::Chat,
        &Bytes::copy_from_slice(body.as_bytes()),
        transcript,
    ) {
        Ok(Next::End(end)) => String::from_utf8(end.to_vec()).expect("UTF-8"),
        _ => String::new(),
    };
    let mut finished = sent("", "It ");
    finished.add(b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    assert_eq!(end(BODY, &finished), "data: [DONE]\n\n");
    let used_up = end(&BODY.replace("50", "2"), &sent("", "It was "));
    let (finish, done) = used_up.split_once("\n\n").expect("two events");
    assert_eq!(done, "data: [DONE]\n\n");
    let finish: Value = serde_json::from_str(finish.trim_start_matches("data: ")).expect("JSON");
    assert_eq!((&finish["id"], &finish["choices"][0]["finish_reason"]), (&json!("a-1"), &json!("length")));
    assert_eq!(end(BODY, &sent("", "It was ")), "");
}
