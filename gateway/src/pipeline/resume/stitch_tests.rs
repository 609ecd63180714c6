use super::*;

const ROLE: &str = r#"{"id":"b","created":9,"model":"n","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"{"id":"b","created":9,"model":"n","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}"#;

/// A transcript with this reasoning and content.
fn sent(reasoning: &str, content: &str) -> Transcript {
    let mut transcript = Transcript::default();
    transcript.add(br#"data: {"id":"a","created":1,"model":"m","choices":[{"delta":{"role":"assistant"}}]}"#);
    for (field, text) in [("reasoning_content", reasoning), ("content", content)] {
        let delta = format!(r#"data: {{"choices":[{{"delta":{{"{field}":{}}}}}]}}"#, Value::from(text));
        transcript.add(delta.as_bytes());
    }
    transcript
}

fn event(data: &str) -> Bytes {
    format!("data: {data}\n\n").into()
}

fn says(field: &str, text: &str) -> Bytes {
    let delta = format!(r#"{{"{field}":{}}}"#, Value::from(text));
    event(&format!(r#"{{"id":"b","created":9,"model":"n","choices":[{{"index":0,"delta":{delta}}}]}}"#))
}

fn passed(stitched: Stitched) -> String {
    match stitched {
        Stitched::Pass(bytes) => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_second_role_is_dropped_and_the_rest_gets_the_first_identity() {
    let mut stitch = Stitch::new(&sent("", "So"), 1, &[], true);
    assert_eq!(passed(stitch.push(&event(ROLE))), "");
    let both = event(
        r#"{"id":"b","created":9,"model":"n","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":" far"}}]}"#,
    );
    assert_eq!(
        passed(stitch.push(&both)),
        "data: {\"id\":\"a\",\"created\":1,\"model\":\"m\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,\"delta\":{\"role\":null,\"content\":\" far\"}}]}\n\n"
    );
    assert_eq!(passed(stitch.push(&Bytes::from_static(b": ping\r\n\r\n"))), ": ping\r\n\r\n");
    assert_eq!(passed(stitch.push(&event("[DONE]"))), "data: [DONE]\n\n");
}

#[test]
fn a_field_that_the_first_backend_sent_is_added() {
    let mut transcript = Transcript::default();
    transcript.add(br#"data: {"id":"a","system_fingerprint":"fp-a","choices":[{"delta":{"content":"So"}}]}"#);
    let mut stitch = Stitch::new(&transcript, 1, &[], true);
    let sent = passed(stitch.push(&event(r#"{"id":"b","choices":[{"delta":{"content":" far"}}]}"#)));
    assert_eq!(
        sent,
        "data: {\"system_fingerprint\":\"fp-a\",\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\" far\"}}]}\n\n"
    );
}

#[test]
fn what_is_no_chunk_passes_as_it_is() {
    let mut stitch = Stitch::new(&sent("", "So"), 1, &[], true);
    for other in ["{}", r#"{"type":"ping"}"#, "{broken"] {
        assert_eq!(passed(stitch.push(&event(other))), format!("data: {other}\n\n"));
    }
}

#[test]
fn a_server_that_repeats_without_end_is_astray() {
    let said = "a word and another, ".repeat(250_000) + "end";
    let mut stitch = Stitch::new(&sent("", &said[..4 << 20]), 1, &[], true);
    let mut pieces = said.as_bytes().chunks(1000).map(|piece| String::from_utf8_lossy(piece));
    assert!(pieces.any(|piece| matches!(stitch.push(&says("content", &piece)), Stitched::Astray(_))));
}

#[test]
fn token_counts_in_a_chunk_of_their_own_are_added_up() {
    let mut stitch = Stitch::new(&sent("We", "So"), 2, &[], true);
    let counts = event(
        r#"{"id":"a","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#,
    );
    let told = r#""usage":{"completion_tokens_details":{"reasoning_tokens":1},"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}"#;
    let sent = passed(stitch.push(&counts));
    assert!(sent.trim_end().ends_with(told), "{sent}");
}

#[test]
fn thinking_anew_is_not_shown_once_there_is_content() {
    let mut stitch = Stitch::new(&sent("We need", "So"), 3, &[], true);
    assert_eq!(passed(stitch.push(&says("reasoning_content", "Hm, again"))), "");
    assert_eq!(passed(stitch.push(&says("reasoning", "Hm, again"))), "");
    assert!(passed(stitch.push(&says("content", " far"))).contains(" far"));
    assert!(passed(stitch.push(&event(STOP))).contains("\"stop\""));
}

#[test]
fn reasoning_goes_on_where_there_is_no_content_yet() {
    let mut stitch = Stitch::new(&sent("We need", ""), 2, &[], true);
    assert!(passed(stitch.push(&says("reasoning_content", " to"))).contains(" to"));
    assert!(passed(stitch.push(&says("content", "So"))).contains("So"));
}

#[test]
fn a_server_that_only_thinks_where_content_was_to_come_is_astray() {
    let mut stitch = Stitch::new(&sent("We need", "So"), 3, &[], true);
    let run = [says("reasoning", "Hm"), event(STOP)].concat();
    assert_eq!(stitch.push(&run.into()), Stitched::Astray(Bytes::new()));
}

#[test]
fn silence_is_an_end_where_it_is_believed_and_only_there() {
    let mut believed = Stitch::new(&sent("", "So far."), 1, &[], true);
    assert!(passed(believed.push(&event(STOP))).contains("\"stop\""));
    let mut doubted = Stitch::new(&sent("", "So far."), 1, &[], false);
    assert_eq!(doubted.push(&event(STOP)), Stitched::Astray(Bytes::new()));
    let mut spoke = Stitch::new(&sent("", "So far."), 1, &[], false);
    passed(spoke.push(&says("content", " And more.")));
    assert!(passed(spoke.push(&event(STOP))).contains("\"stop\""));
}

#[test]
fn a_stop_sequence_split_by_the_cut_ends_the_answer_with_nothing_more_of_it() {
    let mut stitch = Stitch::new(&sent("", "code\n``"), 1, &["```".into()], true);
    let Stitched::Over(end) = stitch.push(&says("content", "`\nand so on")) else { panic!("it is over") };
    let end = String::from_utf8(end.to_vec()).expect("UTF-8");
    assert!(end.starts_with("data: {\"id\":\"a\",") && end.contains(r#""finish_reason":"stop""#), "{end}");
    assert!(end.ends_with("data: [DONE]\n\n") && !end.contains("so on"), "{end}");
}

#[test]
fn what_only_looked_like_a_stop_sequence_is_passed_on_whole() {
    let mut stitch = Stitch::new(&sent("", "code\n`"), 1, &["```".into()], true);
    assert_eq!(passed(stitch.push(&says("content", "`"))), "");
    let sent = passed(stitch.push(&says("content", "x")));
    assert!(sent.contains(r#""content":"`""#) && sent.contains(r#""content":"x""#), "{sent}");
    let mut cut_short = Stitch::new(&self::sent("", "code\n`"), 1, &["```".into()], true);
    passed(cut_short.push(&says("content", "`")));
    let sent = passed(cut_short.push(&event(STOP)));
    assert!(sent.contains(r#""content":"`""#) && sent.contains("\"stop\""), "{sent}");
}

#[test]
fn a_tool_call_ends_the_waiting() {
    let said = "a text that is long enough to be told from chance";
    let mut stitch = Stitch::new(&sent("", said), 1, &[], true);
    assert_eq!(passed(stitch.push(&says("content", "a text"))), "");
    let call = event(r#"{"id":"b","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c"}]}}]}"#);
    let sent = passed(stitch.push(&call));
    assert!(sent.contains("a text") && sent.contains("tool_calls"), "{sent}");
}
