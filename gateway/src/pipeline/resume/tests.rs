//! However often and wherever an answer is cut, whoever goes on with it and however the bytes arrive: the client reads
//! the answer that one backend would have given.

use super::continuation::{Next, Resumption};
use super::events::events;
use super::stitch::{Stitch, Stitched};
use super::transcript::Transcript;
use crate::pipeline::endpoint::Endpoint;
use crate::pipeline::frames::{Framer, data_of};
use bytes::Bytes;
use deepseek_crds::v1alpha1::Flavor;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write as _;

const PROMPT_TOKENS: u64 = 100;
const REQUEST: &str = r#"{"model":"deepseek-flash", "messages":[ {"role":"user","content":"\u00e9 \"x\""} ],"max_tokens" : 1000,"stream":true}"#;

/// An answer in tokens, reasoning first.
#[derive(Clone, Debug)]
struct Whole {
    reasoning: Vec<String>,
    content: Vec<String>,
}

/// Where a stream is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// After so many bytes.
    Byte(usize),
    /// After so many thousandths of it.
    Share(usize),
    Nowhere,
}

/// A server, and where the stream that it sends is cut.
#[derive(Clone, Debug)]
struct Hop {
    flavor: Flavor,
    cut: Cut,
    /// Repeats what it was given.
    echo: bool,
}

/// Goes on to the end.
const DEEPSEEK: Hop = Hop { flavor: Flavor::DeepSeek, cut: Cut::Nowhere, echo: false };

impl Whole {
    /// What is left of it once `reasoning` and `content` have been said, as tokens; with the number of those said.
    fn after(&self, reasoning: &str, content: &str) -> (Self, u64) {
        let left = |tokens: &[String], said: &str| {
            let mut length = 0;
            let count = tokens.iter().take_while(|token| {
                length += token.len();
                length <= said.len()
            });
            let count = count.count();
            assert_eq!(tokens[..count].concat(), said, "cut between tokens");
            (tokens[count..].to_vec(), count as u64)
        };
        let (content_left, content_said) = left(&self.content, content);
        let (mut reasoning_left, mut said) = left(&self.reasoning, reasoning);
        if !content.is_empty() {
            reasoning_left.clear();
        }
        said += content_said;
        (Self { reasoning: reasoning_left, content: content_left }, said)
    }

    /// Its stream as the server numbered `number` sends it.
    fn stream(&self, number: usize, flavor: Flavor, prompt: u64) -> String {
        let mut out = String::new();
        let deepseek = flavor == Flavor::DeepSeek;
        let mut send = |delta: Value, finish: Option<&str>, usage: Option<Value>| {
            let mut chunk = json!({"id": format!("id-{number}"), "object": "chat.completion.chunk", "created": 17 + number,
                "model": format!("model-{number}"), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            if deepseek {
                chunk["system_fingerprint"] = json!(format!("fp-{number}"));
                chunk["usage"] = usage.unwrap_or_default();
            } else if let Some(usage) = usage {
                let _ = write!(out, "data: {chunk}\n\n");
                chunk["choices"] = json!([]);
                chunk["usage"] = usage;
            }
            let _ = write!(out, "data: {chunk}\n\n");
        };
        send(json!({"role": "assistant", "content": ""}), None, None);
        for token in &self.reasoning {
            send(json!({"content": null, "reasoning_content": token}), None, None);
        }
        for token in &self.content {
            send(json!({"content": token}), None, None);
        }
        let (thought, all) = (self.reasoning.len(), self.reasoning.len() + self.content.len());
        let mut usage =
            json!({"prompt_tokens": prompt, "completion_tokens": all, "total_tokens": prompt + all as u64});
        if deepseek {
            usage["prompt_cache_hit_tokens"] = json!(prompt / 2);
            usage["prompt_cache_miss_tokens"] = json!(prompt - prompt / 2);
        }
        usage["completion_tokens_details"] = json!({"reasoning_tokens": thought});
        send(json!({"content": ""}), Some("stop"), Some(usage));
        out + "data: [DONE]\n\n"
    }
}

/// The stream of a server that is asked to go on, as a server of its kind reads the request.
fn go_on(whole: &Whole, body: &[u8], number: usize, hop: &Hop) -> String {
    let body: Value = serde_json::from_slice(body).expect("the continuation is JSON");
    let messages = body["messages"].as_array().expect("messages");
    let last = messages.last().expect("a message");
    let text = |field: &str| last[field].as_str().unwrap_or_default().to_owned();
    let (reasoning, content) = match hop.flavor {
        _ if last["role"] == "user" => (String::new(), String::new()),
        Flavor::DeepSeek => {
            assert_eq!(last["prefix"], true);
            (text("reasoning_content"), text("content"))
        }
        flavor => {
            assert_eq!(
                (&body["continue_final_message"], &body["add_generation_prompt"]),
                (&json!(true), &json!(false))
            );
            match body["chat_template_kwargs"]["thinking"].as_bool() {
                Some(true) if flavor == Flavor::SGLang => {
                    let text = text("content");
                    let (reasoning, content) = text.split_once("</think>").unwrap_or((&text, ""));
                    (reasoning.to_owned(), content.to_owned())
                }
                _ => (whole.reasoning.concat(), text("content")),
            }
        }
    };
    let (mut left, said) = whole.after(&reasoning, &content);
    let in_prompt =
        if hop.flavor == Flavor::VLLM { said.saturating_sub(whole.reasoning.len() as u64) } else { said };
    let limit = body["max_tokens"].as_u64().expect("kept");
    if messages.len() > 1 {
        assert_eq!(limit, 1000 - said);
    }
    let stream = left.stream(number, hop.flavor, PROMPT_TOKENS + in_prompt);
    if !hop.echo {
        return stream;
    }
    match (reasoning.as_str(), content.as_str()) {
        ("", "") => {}
        (thought, "") => left.reasoning.insert(0, thought.to_owned()),
        (_, said) => left.content.insert(0, said.to_owned()),
    }
    // The counts are of what is new.
    let (echoed, usage) =
        (left.stream(number, hop.flavor, 0), stream.rsplit("\"usage\":{").next().expect("usage"));
    let at = echoed.rfind("\"usage\":{").expect("usage");
    format!("{}\"usage\":{{{usage}", &echoed[..at])
}

/// Between events, now and then, something that is none.
fn with_comments(stream: &str, every: usize) -> String {
    let comments = [": keep-alive\n\n", "\n", ": \n\n: data: {}\n\n"];
    let events = stream.split_inclusive("\n\n").enumerate();
    events
        .map(
            |(n, event)| {
                if n % every == 0 { format!("{}{event}", comments[n % 3]) } else { event.to_owned() }
            },
        )
        .collect()
}

/// What the client is sent, as the relay would do it. `sizes` are those of the pieces that arrive, in turn.
fn relay(whole: &Whole, hops: &[Hop], sizes: &[usize], comments: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut transcript = Transcript::default();
    let mut stitch: Option<Stitch> = None;
    let mut stream = whole.stream(0, Flavor::DeepSeek, PROMPT_TOKENS);
    let body = Bytes::from_static(REQUEST.as_bytes());
    for (number, hop) in (1..).zip(hops) {
        let arrives = with_comments(&stream, comments).into_bytes();
        let end = match hop.cut {
            Cut::Byte(at) => at,
            Cut::Share(share) => arrives.len() * share / 1000,
            Cut::Nowhere => arrives.len(),
        };
        let mut rest = &arrives[..end];
        let (mut framer, mut sizes) = (Framer::default(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(*sizes.next().expect("endless")));
            rest = more;
            let Some(run) = framer.push(Bytes::copy_from_slice(piece)) else { continue };
            let run = match stitch.as_mut().map(|stitch| stitch.push(&run)) {
                None => run,
                Some(Stitched::Pass(run)) => run,
                // vLLM said that nothing was left to say, and is not believed.
                Some(Stitched::Astray(run)) => {
                    rest = &[];
                    run
                }
                Some(over) => panic!("{over:?}"),
            };
            for event in events(&run) {
                assert_eq!(transcript.interrupted_by(&event), None);
                transcript.add(&event);
                out.extend_from_slice(&event);
            }
        }
        if data_of(&out).any(|data| data == b"[DONE]") {
            return out;
        }
        match Resumption::of(Endpoint::Chat, &body, &transcript).expect("it can be continued") {
            Next::End(end) => {
                out.extend_from_slice(&end);
                return out;
            }
            Next::Ask(resumption) => {
                let flavor = if resumption.is_for(hop.flavor) { hop.flavor } else { Flavor::DeepSeek };
                let continuation = resumption.request(flavor).expect("it is for this kind");
                stream = go_on(whole, &continuation.body, number, &Hop { flavor, ..hop.clone() });
                stitch = Some(resumption.stitch(&continuation));
            }
        }
    }
    out
}

/// What a client makes of a stream.
fn assert_is_whole(sent: &[u8], whole: &Whole) {
    let payloads: Vec<&[u8]> = data_of(sent).collect();
    let (done, chunks) = payloads.split_last().expect("payloads");
    assert_eq!(String::from_utf8_lossy(done), "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|data| serde_json::from_slice(data).expect("JSON")).collect();
    let of = |field: &str| -> String {
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str()).collect()
    };
    assert_eq!(of("content"), whole.content.concat());
    assert_eq!(of("reasoning_content"), whole.reasoning.concat());
    assert_eq!(of("role"), "assistant", "once");
    let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string());
    assert_eq!(finishes.count(), 1);
    for field in ["id", "created", "model", "system_fingerprint"] {
        assert!(chunks.iter().all(|chunk| chunk[field] == chunks[0][field]), "one {field}");
    }
    let usage: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["usage"]).filter(|usage| usage.is_object()).collect();
    // A cut after the finish reason can lose counts that come in a chunk of their own.
    for usage in usage {
        let (thought, said) = (whole.reasoning.len() as u64, whole.content.len() as u64);
        let number = |field: &str| usage[field].as_u64();
        assert_eq!(number("prompt_tokens"), Some(PROMPT_TOKENS), "{usage}");
        assert_eq!(number("completion_tokens"), Some(thought + said), "{usage}");
        assert_eq!(number("total_tokens"), Some(PROMPT_TOKENS + thought + said), "{usage}");
        assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], thought, "{usage}");
        if let (Some(hit), Some(miss)) =
            (number("prompt_cache_hit_tokens"), number("prompt_cache_miss_tokens"))
        {
            assert_eq!(hit + miss, PROMPT_TOKENS, "{usage}");
        }
    }
}

fn tokens(most: usize) -> impl Strategy<Value = Vec<String>> {
    let token = prop_oneof![
        Just("We".to_owned()),
        Just(" need".to_owned()),
        Just("\n\n".to_owned()),
        Just("\"".to_owned()),
        Just("\\u00e9".to_owned()),
        Just("é".to_owned()),
        Just("日本".to_owned()),
        Just("😀".to_owned()),
        Just("data:".to_owned()),
        Just("{}".to_owned()),
        "[a-z ]{1,4}",
    ];
    proptest::collection::vec(token, 0..most)
}

fn hop() -> impl Strategy<Value = Hop> {
    let flavor = prop_oneof![Just(Flavor::DeepSeek), Just(Flavor::SGLang), Just(Flavor::VLLM)];
    (flavor, 0..=1000_usize).prop_map(|(flavor, cut)| Hop { flavor, cut: Cut::Share(cut), echo: false })
}

/// Whether a part of it looks like an echo.
fn repeats_itself(whole: &Whole) -> bool {
    [&whole.reasoning, &whole.content].into_iter().any(|tokens| {
        let text = tokens.concat();
        (32..=text.len() / 2).any(|at| text.is_char_boundary(at) && text[at..].starts_with(&text[..at]))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cut_anywhere_and_continued_by_anyone_an_answer_is_read_as_one(
        reasoning in tokens(12),
        content in tokens(30),
        mut hops in proptest::collection::vec(hop(), 0..4),
        sizes in proptest::collection::vec(1..400_usize, 1..8),
        comments in 1..6_usize,
    ) {
        let whole = Whole { reasoning, content };
        prop_assume!(!repeats_itself(&whole));
        hops.extend([DEEPSEEK, DEEPSEEK]);
        assert_is_whole(&relay(&whole, &hops, &sizes, comments), &whole);
    }

    #[test]
    fn a_server_that_repeats_what_it_was_given_is_heard_once(
        content in tokens(60),
        cut in 0..1000_usize,
        size in 1..400_usize,
    ) {
        let whole = Whole { reasoning: Vec::new(), content };
        prop_assume!(!repeats_itself(&whole));
        let first = Hop { cut: Cut::Share(cut), ..DEEPSEEK };
        let said = relay(&whole, &[first], &[size], 3);
        let said: usize = data_of(&said)
            .filter_map(|data| serde_json::from_slice::<Value>(data).ok())
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::len))
            .sum();
        prop_assume!(said == 0 || said >= 32);
        let hops = [Hop { cut: Cut::Share(cut), echo: true, ..DEEPSEEK }, DEEPSEEK];
        assert_is_whole(&relay(&whole, &hops, &[size], 3), &whole);
    }
}

#[test]
fn every_byte_of_a_stream_is_a_place_to_cut_it() {
    // No token is longer than what is counted as one.
    let words = |text: &str| {
        let signs: Vec<char> = text.chars().collect();
        signs.chunks(2).map(|two| two.iter().collect()).collect::<Vec<String>>()
    };
    let whole = Whole { reasoning: words("é\"日本🙂\n"), content: words("## Grüße\n\u{1F600}\\") };
    let length = with_comments(&whole.stream(0, Flavor::DeepSeek, PROMPT_TOKENS), 2).len();
    let flavors = [Flavor::DeepSeek, Flavor::SGLang, Flavor::VLLM];
    for (at, flavor) in (0..length).zip(flavors.into_iter().cycle()) {
        let hops = [Hop { flavor, cut: Cut::Byte(at), echo: false }, DEEPSEEK, DEEPSEEK];
        assert_is_whole(&relay(&whole, &hops, &[7, 64, 1], 2), &whole);
    }
}
