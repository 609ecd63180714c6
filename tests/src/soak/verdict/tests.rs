//! The judge must not be kind: each way of being wrong, by one small change of what is right.

use super::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const DONE: &str = "data: [DONE]\n\n";

fn plan(stream: bool) -> Plan {
    let plan = Plan::draw("1-1".to_owned(), &mut StdRng::seed_from_u64(1));
    Plan { prompt: "x y".to_owned(), model: "m", stream, thinking: false, ..plan }
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"1\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn say(text: &str) -> String {
    chunk(&format!("{{\"content\":\"{text}\"}}"), "null")
}

/// The pieces of a right stream: role, two halves of the text, finish, end.
fn right() -> [String; 5] {
    let text = echo("b", "m", "x y");
    let (first, second) = text.split_at(12);
    [
        chunk("{\"role\":\"assistant\"}", "null"),
        say(first),
        say(second),
        chunk("{}", "\"stop\""),
        DONE.to_owned(),
    ]
}

fn verdict(bytes: &str) -> Verdict {
    judge(&plan(true), &Heard { status: 200, bytes: bytes.into(), ..Heard::default() })
}

fn left(bytes: &str) -> Verdict {
    judge(&plan(true), &Heard { status: 200, bytes: bytes.into(), left: true, ..Heard::default() })
}

fn is_violation(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Violation(_))
}

#[test]
fn a_right_stream_is_an_answer_whatever_comments_are_between() {
    assert_eq!(verdict(&right().concat()), Verdict::Answer);
    assert_eq!(verdict(&right().join(": keep-alive\n\n")), Verdict::Answer);
}

#[test]
fn a_stream_that_lacks_or_repeats_any_of_its_pieces_is_none() {
    for place in 0..right().len() {
        let mut pieces = right().to_vec();
        pieces.remove(place);
        assert!(is_violation(&verdict(&pieces.concat())), "without {place}");
        let mut pieces = right().to_vec();
        pieces.insert(place, pieces[place].clone());
        assert!(is_violation(&verdict(&pieces.concat())), "twice {place}");
    }
}

#[test]
fn a_stream_cut_at_any_byte_is_none() {
    let whole = right().concat();
    for end in 0..whole.len() {
        assert!(is_violation(&verdict(&whole[..end])), "{end}");
        assert_eq!(left(&whole[..end]), Verdict::Left, "{end}");
    }
}

#[test]
fn what_is_of_another_call_server_or_answer_is_seen() {
    for (right_one, wrong) in [
        ("x y", "x z"),
        (
            "\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{}",
            "\"id\":\"2\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{}",
        ),
        ("[b m]", "[z m]"),
        ("\"model\":\"m\"", "\"model\":\"n\""),
    ] {
        let stream = right().concat();
        assert!(stream.contains(right_one));
        assert!(is_violation(&verdict(&stream.replace(right_one, wrong))), "{wrong}");
    }
    assert!(is_violation(&left(&right().concat().replace("x y", "x z"))));
}

#[test]
fn one_error_event_ends_a_stream_and_nothing_follows_it() {
    let error = "data: {\"error\":{\"message\":\"gone\",\"code\":\"stream_interrupted\"}}\n\n";
    let [role, first, ..] = right();
    let broken = [role.as_str(), &first, error].concat();
    assert_eq!(verdict(&broken), Verdict::Error("stream_interrupted".to_owned()));
    assert!(is_violation(&verdict(&[&broken, error].concat())));
    assert!(is_violation(&verdict(&[&broken, DONE].concat())));
    assert!(is_violation(&verdict(&(right().concat() + error))));
}

#[test]
fn the_answer_for_want_of_upstreams_is_right_where_there_is_one_and_costs_nothing() {
    let [role, _, _, finish, done] = right();
    let usage = |tokens: u64| {
        format!(
            "data: {{\"id\":\"1\",\"model\":\"m\",\"choices\":[],\"usage\":{{\"completion_tokens\":{tokens}}}}}\n\n"
        )
    };
    let of = |model: &'static str, text: &str, tokens: u64| {
        let bytes = [&role, &say(text), &finish, &usage(tokens), &done].map(String::as_str).concat();
        let bytes = bytes.replace("\"model\":\"m\"", &format!("\"model\":\"{model}\"")).into();
        judge(&Plan { model, ..plan(true) }, &Heard { status: 200, bytes, ..Heard::default() })
    };
    assert_eq!(of(KEPT, STATIC, 0), Verdict::Answer);
    assert!(is_violation(&of(KEPT, STATIC, 1)));
    assert!(is_violation(&of(KEPT, &STATIC[1..], 0)));
    assert!(is_violation(&of("m", STATIC, 0)), "a route without it");
}

#[test]
fn a_frame_of_garbage_stands_for_one_word_and_for_no_more() {
    let text = echo("b", "m", "x y");
    let with = |first: &str, second: &str| {
        let [role, _, _, finish, done] = right();
        verdict(&[role, say(first), "data: {\"id\":\n\n".to_owned(), say(second), finish, done].concat())
    };
    assert_eq!(with(&text[..12], &text[16..]), Verdict::Answer);
    assert!(is_violation(&with(&text[..12], &text[16..20])));
    assert!(is_violation(&with(&text[1..12], &text[16..])));
}

#[test]
fn a_whole_answer_is_right_in_all_its_parts() {
    let body = |content: &str, role: &str, finish: &str| {
        format!(
            "\n{{\"model\":\"m\",\"choices\":[{{\"message\":{{\"role\":{role},\"content\":\"{content}\"}},\"finish_reason\":{finish}}}]}}"
        )
    };
    let whole =
        |status, bytes: &str| judge(&plan(false), &Heard { status, bytes: bytes.into(), ..Heard::default() });
    let text = echo("a", "m", "x y");
    assert_eq!(whole(200, &body(&text, "\"assistant\"", "\"stop\"")), Verdict::Answer);
    assert!(is_violation(&whole(200, &body(&text[1..], "\"assistant\"", "\"stop\""))));
    assert!(is_violation(&whole(200, &body(&text, "null", "\"stop\""))));
    assert!(is_violation(&whole(200, &body(&text, "\"assistant\"", "null"))));
    let error = "{\"error\":{\"message\":\"busy\",\"code\":\"upstream_error\"}}";
    assert_eq!(whole(502, error), Verdict::Error("upstream_error".to_owned()));
    assert!(is_violation(&whole(200, error)), "an error is not a success");
    assert!(is_violation(&whole(502, "<html>")));
    assert!(is_violation(&whole(502, "")));
}
