//! What a client is told of another server's answer.

use super::*;
use crate::pipeline::frames::Framer;
use proptest::prelude::*;

const STREAM: &str = concat!(
    ": keep-alive\n\n",
    "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"reasoning\":\"\"}}],\"usage\":null}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{ \"reasoning\" : \"é \\\"reasoning\\\": 1\" },\"logprobs\":{\"reasoning\":1.0e0}}]}\r\n\r\n",
    "data:{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a \\\"choices\\\":[]\",\"reasoning\":null}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\" : [ ],\"usage\":{\"prompt_tokens\":9}}\n\n",
    "data: [DONE]\n\n",
);
const RENAMED: &str = concat!(
    ": keep-alive\n\n",
    "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"\"}}],\"usage\":null}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{ \"reasoning_content\" : \"é \\\"reasoning\\\": 1\" },\"logprobs\":{\"reasoning\":1.0e0}}]}\r\n\r\n",
    "data:{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a \\\"choices\\\":[]\",\"reasoning_content\":null}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\" : [ ],\"usage\":{\"prompt_tokens\":9}}\n\n",
    "data: [DONE]\n\n",
);

/// What comes out of a stream that arrives in pieces which end at these offsets.
fn told(retelling: Retelling, cuts: &[usize]) -> String {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([STREAM.len()]) {
        let piece = Bytes::copy_from_slice(&STREAM.as_bytes()[from..cut]);
        out.extend(framer.push(piece).map(|run| retelling.events(run)).unwrap_or_default());
        from = cut;
    }
    out.extend(framer.rest());
    String::from_utf8(out).expect("text")
}

/// [`RENAMED`] without the two chunks that have no choices.
fn hidden() -> String {
    RENAMED.split_inclusive("\n\n").filter(|event| !event.contains("\"prompt_")).collect()
}

#[test]
fn wherever_a_stream_is_cut_reasoning_gets_deepseeks_name_and_no_other_byte_changes() {
    let all = Retelling { renames: true, hides: false };
    let some = Retelling { renames: true, hides: true };
    for cut in 0..=STREAM.len() {
        assert_eq!(told(all, &[cut]), RENAMED, "cut at {cut}");
        assert_eq!(told(some, &[cut]), hidden(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn so_it_is_in_any_number_of_pieces(mut cuts in prop::collection::vec(0..=STREAM.len(), 0..40)) {
        cuts.sort_unstable();
        prop_assert_eq!(told(Retelling { renames: true, hides: false }, &cuts), RENAMED);
        prop_assert_eq!(told(Retelling { renames: true, hides: true }, &cuts), hidden());
    }
}

#[test]
fn a_whole_answer_is_told_in_deepseeks_words_once() {
    let vllm = r#"{"choices":[{"message":{"role":"assistant","content":"a","reasoning":"hm"},"x":1.50}]}"#;
    let told = whole(vllm.as_bytes()).expect("it differs");
    assert_eq!(told, vllm.replace("\"reasoning\"", "\"reasoning_content\""));
    let both = r#"{"choices":[{"message":{"reasoning_content":"hm","reasoning":"hm"}}]}"#;
    assert_eq!(whole(both.as_bytes()), None);
    let emptied = r#"{"choices":[{"message":{"reasoning_content":null,"reasoning":"hm"}}]}"#;
    assert_eq!(
        whole(emptied.as_bytes()).expect("it differs"),
        r#"{"choices":[{"message":{"reasoning_content":"hm"}}]}"#
    );
    for other in ["{\"reasoning\"", r#"{"reasoning":1,"choices":"x"}"#, "[\"reasoning\"]"] {
        assert_eq!(whole(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn deepseek_is_not_looked_at_and_usage_is_hidden_from_who_did_not_ask() {
    let asks = br#"{"stream_options":{"include_usage":true}}"#;
    let of =
        |flavor, endpoint, body: &[u8]| Retelling::of(flavor, endpoint, body).map(|r| (r.renames, r.hides));
    assert_eq!(of(Flavor::DeepSeek, Endpoint::Chat, b"{}"), None);
    assert_eq!(of(Flavor::VLLM, Endpoint::Chat, b"{}"), Some((true, true)));
    assert_eq!(of(Flavor::VLLM, Endpoint::Chat, asks), Some((true, false)));
    assert_eq!(of(Flavor::SiliconFlow, Endpoint::Chat, b"{}"), Some((true, false)));
    assert_eq!(of(Flavor::VLLM, Endpoint::Completions, b"{}"), Some((false, true)));
    assert_eq!(of(Flavor::VLLM, Endpoint::Responses, b"{}"), None);
}

#[test]
fn an_error_beside_no_choices_is_never_hidden() {
    let run = Bytes::from_static(b"data: {\"choices\":[],\"error\":{\"message\":\"busy\"}}\n\n");
    assert_eq!(Retelling { renames: true, hides: true }.events(run.clone()), run);
}
