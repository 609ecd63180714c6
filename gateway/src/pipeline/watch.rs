//! What passes in a stream, told (nearly always) without parsing it: content, the finish, the end mark, errors, garbage.
//!
//! In a JSON string quotes are escaped, so an unescaped `"finish_reason":` is always a key.

use super::choices::Choices;
use super::endpoint::{Endpoint, StreamEnd};
use super::frames::data_of;
use crate::upstream::beginning::{FAILED_EVENTS, is_without_a_word};
use crate::upstream::finish::{ABORTED, FAILED, OUT_OF_RESOURCES};
use crate::upstream::judge::{Cause, by_error};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// What a run of whole events holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Events with data, the end mark left out.
    pub data: u32,
    /// Whether any of them says something: a chunk without a word is a sign of life, as a comment is.
    pub payload: bool,
    /// Of these, how many are not JSON objects.
    pub garbage: u32,
    /// Whether the end mark is among them.
    pub end: bool,
    /// Whether the backend gave up with a finish reason or an event that says so, and that was to pass.
    pub gave_up: bool,
    /// What breaks the stream, and where the event that says so begins: what is before it is good.
    pub broken: Option<(usize, Cause)>,
}

/// Watches one stream.
#[derive(Debug)]
pub struct Watch {
    endpoint: Endpoint,
    /// Whether an answer that the backend gave up is one that another could go on with.
    resumes: bool,
    /// The choices, where there are several.
    choices: Option<Choices>,
    /// Finish reasons so far.
    reasons: u32,
    finished: bool,
    failed: bool,
}

static CONTENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"content\":\""));
static REASONING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"reasoning_content\":\""));
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"finish_reason\":"));
static CHOICES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"choices\":"));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\":"));
static OBJECT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"object\":"));

impl Watch {
    /// Watches a stream of `endpoint` with so many `choices`. With `resumes`, `insufficient_system_resource` breaks it;
    /// else that is a finish like others, for the client to read.
    #[must_use]
    pub fn new(endpoint: Endpoint, resumes: bool, choices: u64) -> Self {
        Self { endpoint, resumes, choices: Choices::of(choices), reasons: 0, finished: false, failed: false }
    }

    /// Whether the answer has finished: nothing of it is missing, whether the end mark has come or not.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Whether its last event says that the answer failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether any of these events says something.
    #[must_use]
    pub fn has_payload(&self, events: &[u8]) -> bool {
        data_of(events).any(|data| self.is_payload(data))
    }

    /// Looks at whole events.
    pub fn look(&mut self, events: &[u8]) -> Look {
        match self.endpoint.stream_end() {
            StreamEnd::Done => self.look_at_chunks(events),
            StreamEnd::Event(names) => self.look_at_named(events, names),
        }
    }

    /// Chat and completions: unnamed events, `[DONE]` after a finish reason.
    fn look_at_chunks(&mut self, events: &[u8]) -> Look {
        let mut look = Look::default();
        for (at, data) in data_lines(events) {
            if data == b"[DONE]" {
                // What could not be read is believed of an end mark, where there was any finish at all.
                let several = self.choices.as_ref();
                self.finished |=
                    several.is_some_and(|c| c.all_begun() || (c.is_unread() && self.reasons > 0));
                if !self.finished {
                    look.broken = Some((at, Cause::EndedEarly));
                    return look;
                }
                look.end = true;
                continue;
            }
            look.data += 1;
            look.payload = look.payload || self.is_payload(data);
            match self.chunk(data) {
                Chunk::Content => {}
                Chunk::Garbage => look.garbage += 1,
                Chunk::GaveUp => look.gave_up = true,
                Chunk::Broken(cause) => {
                    look.broken = Some((at, cause));
                    return look;
                }
            }
        }
        look
    }

    fn chunk(&mut self, data: &[u8]) -> Chunk {
        if !(data.starts_with(b"{") && data.ends_with(b"}")) {
            return Chunk::Garbage;
        }
        if CHOICES.find(data).is_none() && is_error(data) {
            return Chunk::Broken(Cause::ErrorMidStream);
        }
        let mut gave_up = false;
        // Some servers have an empty one in every chunk but the last.
        for reason in opening_with(&FINISH, data, b'"').filter(|reason| !reason.starts_with(b"\"")) {
            let is =
                |word: &str| reason.strip_prefix(word.as_bytes()).is_some_and(|rest| rest.starts_with(b"\""));
            gave_up |= is(OUT_OF_RESOURCES);
            if is(ABORTED) || is(FAILED) || (gave_up && self.resumes) {
                return Chunk::Broken(Cause::OutOfResourcesMidStream);
            }
            self.reasons += 1;
        }
        self.finished = match &mut self.choices {
            None => self.reasons > 0,
            Some(choices) => choices.read(data) && choices.all(),
        };
        if gave_up { Chunk::GaveUp } else { Chunk::Content }
    }

    /// Whether it says something. An event of the other APIs does, Anthropic's `ping` too: it is all that comes while a
    /// model thinks unheard.
    fn is_payload(&self, data: &[u8]) -> bool {
        match self.endpoint.stream_end() {
            StreamEnd::Done => says_something(data),
            StreamEnd::Event(_) => true,
        }
    }

    /// Messages and responses: named events, the last of which ends the stream.
    fn look_at_named(&mut self, events: &[u8], ends: &[&str]) -> Look {
        let (mut look, mut name, mut failed) = (Look::default(), b"".as_slice(), self.failed);
        for line in events.split(|byte| *byte == b'\n') {
            let is_one_of = |name: &[u8], names: &[&str]| names.iter().any(|other| name == other.as_bytes());
            if let Some(named) = line.strip_prefix(b"event:") {
                name = named.trim_ascii();
                look.end |= is_one_of(name, ends);
            }
            let data = line.strip_prefix(b"data:").unwrap_or_default().trim_ascii();
            if data.is_empty() {
                continue;
            }
            look.data += 1;
            look.payload = true;
            look.garbage += u32::from(!(data.starts_with(b"{") && data.ends_with(b"}")));
            if is_one_of(name, &FAILED_EVENTS) && !std::mem::replace(&mut failed, true) {
                look.gave_up = !is_of_the_caller(data);
            }
        }
        self.finished |= look.end;
        self.failed = failed;
        look
    }
}

enum Chunk {
    Content,
    Garbage,
    GaveUp,
    Broken(Cause),
}

/// Whether a chunk says something; told by its beginning where it is a text, as nearly every one is.
fn says_something(data: &[u8]) -> bool {
    let is_text = [&CONTENT, &REASONING].iter().any(|key| {
        key.find(data).is_some_and(|at| data.get(at + key.needle().len()).is_some_and(|next| *next != b'"'))
    });
    is_text || !is_without_a_word(data)
}

/// Whether an error in the middle of an answer is the caller's own: it says nothing of the backend's health.
fn is_of_the_caller(error: &[u8]) -> bool {
    let holds = |word: &str| memchr::memmem::find(error, word.as_bytes()).is_some();
    holds("\"invalid_request_error\"")
        || holds("\"invalid_prompt\"")
        || by_error(error).is_some_and(Cause::is_callers_to_read)
}

/// Whether what is no chunk is an error: in an envelope, a bare text (Ollama), or flat (SGLang).
fn is_error(data: &[u8]) -> bool {
    opening_with(&ERROR, data, b'{').next().is_some()
        || opening_with(&ERROR, data, b'"').next().is_some()
        || opening_with(&OBJECT, data, b'"').next().is_some_and(|object| object.starts_with(b"error\""))
}

/// What follows `key` and a value that opens with `first`, in any of its places.
fn opening_with<'a>(key: &Finder<'_>, data: &'a [u8], first: u8) -> impl Iterator<Item = &'a [u8]> {
    let values = key.find_iter(data).map(|at| data[at + key.needle().len()..].trim_ascii_start());
    values.filter(move |value| value.first() == Some(&first)).map(|value| &value[1..])
}

/// The data of each event that has any, with where its line begins.
fn data_lines(events: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    let lines = events.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let begins = at;
        at += line.len();
        (begins, line)
    });
    lines
        .filter_map(|(at, line)| Some((at, line.strip_prefix(b"data:")?.trim_ascii())))
        .filter(|(_, data)| !data.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINISHED: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"say \\\"finish_reason\\\":\\\"stop\\\"\"},\"finish_reason\":null}]}\n\n";

    fn chat() -> Watch {
        Watch::new(Endpoint::Chat, true, 1)
    }

    #[test]
    fn a_finish_and_the_end_mark_are_told_from_text_that_speaks_of_them() {
        let mut watch = chat();
        assert_eq!(watch.look(TEXT.as_bytes()), Look { data: 1, payload: true, ..Look::default() });
        assert!(!watch.finished());
        let look = watch.look(format!(": hi\n\n{FINISHED}data: [DONE]\n\n").as_bytes());
        assert_eq!(look, Look { data: 1, payload: true, end: true, ..Look::default() });
        assert!(watch.finished());
    }

    #[test]
    fn a_finish_reason_without_a_word_is_none() {
        let mut watch = chat();
        let empty = FINISHED.replace("stop", "");
        let look = watch.look(format!("{empty}data: [DONE]\n\n").as_bytes());
        assert_eq!(look.broken, Some((empty.len(), Cause::EndedEarly)));
        let second =
            "data: {\"choices\":[{\"finish_reason\":\"\"},{\"index\":1,\"finish_reason\":\"stop\"}]}\n\n";
        watch.look(second.as_bytes());
        assert!(watch.finished());
    }

    #[test]
    fn an_end_mark_without_a_finish_breaks_the_stream_where_it_stands() {
        let look = chat().look(format!("{TEXT}data: [DONE]\n\n").as_bytes());
        assert_eq!(look.broken, Some((TEXT.len(), Cause::EndedEarly)));
    }

    #[test]
    fn an_error_or_a_lack_of_resources_breaks_the_stream() {
        let error = "data: {\"error\":{\"message\":\"busy\",\"code\":429}}\n\n";
        assert_eq!(chat().look(error.as_bytes()).broken, Some((0, Cause::ErrorMidStream)));
        for other in [r#"{"error":"busy"}"#, r#"{"object":"error","message":"busy","code":500}"#] {
            let look = chat().look(format!("data: {other}\n\n").as_bytes());
            assert_eq!(look.broken, Some((0, Cause::ErrorMidStream)), "{other}");
        }
        let lack = FINISHED.replace("stop", "insufficient_system_resource");
        let look = chat().look(format!("{TEXT}{lack}").as_bytes());
        assert_eq!(look.broken, Some((TEXT.len(), Cause::OutOfResourcesMidStream)));
        for word in ["abort", "error"] {
            let aborted = FINISHED.replace("stop", word);
            let look = Watch::new(Endpoint::Chat, false, 1).look(aborted.as_bytes());
            assert_eq!(
                look.broken,
                Some((0, Cause::OutOfResourcesMidStream)),
                "{word} is none of DeepSeek's"
            );
        }
        let passed = Watch::new(Endpoint::Chat, false, 1).look(lack.as_bytes());
        assert_eq!(passed, Look { data: 1, payload: true, gave_up: true, ..Look::default() });
        let inner = "data: {\"choices\":[{\"content_filter\":{\"error\":{\"code\":1}}}]}\n\n";
        assert_eq!(chat().look(inner.as_bytes()).broken, None);
    }

    #[test]
    fn garbage_is_counted_and_breaks_nothing() {
        let look = chat().look(b"data: {\"id\":\n\ndata: x\n\n");
        assert_eq!((look.data, look.garbage, look.broken), (2, 2, None));
    }

    #[test]
    fn what_says_nothing_is_no_step_in_an_answer() {
        let chunk = |delta: &str| {
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n")
        };
        for nothing in
            [r#"{"role":"assistant","content":""}"#, r#"{"content":null,"reasoning_content":""}"#, "{}"]
        {
            assert!(!chat().look(chunk(nothing).as_bytes()).payload, "{nothing}");
        }
        assert!(!chat().look(b"data: oops\n\n").payload);
        for word in [
            r#"{"content":"x"}"#,
            r#"{"content":"","reasoning_content":"x"}"#,
            r#"{"content" : "x"}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":""}}]}"#,
            r#"{"refusal":"no"}"#,
        ] {
            assert!(chat().look(chunk(word).as_bytes()).payload, "{word}");
        }
        assert!(chat().look(FINISHED.as_bytes()).payload);
        assert!(chat().look(b"data: {\"choices\":[],\"usage\":{}}\n\n").payload);
        for other in [
            r#"{"function_call":{"arguments":"{"}}"#,
            r#"{"audio":{"data":"x"}}"#,
            r#"{"reasoning_details":[{"text":"x"}]}"#,
            r#"{"content":[{"type":"text","text":"x"}]}"#,
        ] {
            assert!(chat().look(chunk(other).as_bytes()).payload, "{other}");
        }
        for odd in [
            r#"{"choices":[{"delta":{},"logprobs":{"content":[{"logprob":-1.0}]}}]}"#,
            r#"{"choices":[{"delta":{}}],"usage":{"completion_tokens":7}}"#,
            r#"{"choices":[{"delta":{"content":"x"},"logprobs":-Infinity}]}"#,
            r#"{"choices":[{"delta":{},"token_ids":[7]}]}"#,
        ] {
            assert!(chat().look(format!("data: {odd}\n\n").as_bytes()).payload, "{odd}");
        }
    }

    #[test]
    fn an_answer_of_several_choices_has_finished_when_all_of_them_have() {
        let chunk = |index: u64, finish: &str| {
            format!(
                "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{}},\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        let mut watch = Watch::new(Endpoint::Chat, false, 2);
        watch.look([chunk(0, "null"), chunk(1, "null"), chunk(0, "\"stop\"")].concat().as_bytes());
        assert!(!watch.finished());
        assert!(watch.look(b"data: [DONE]\n\n").broken.is_some(), "an end mark is no finish");
        watch.look(chunk(1, "\"stop\"").as_bytes());
        assert!(watch.finished());
        // A server that makes one of two says so with its end mark, and not with silence.
        let mut watch = Watch::new(Endpoint::Chat, false, 2);
        watch.look(chunk(0, "\"stop\"").as_bytes());
        assert!(!watch.finished());
        assert!(watch.look(b"data: [DONE]\n\n").end);
        let unread =
            "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"logprobs\":-Infinity}]}\n\n";
        let mut watch = Watch::new(Endpoint::Chat, false, 2);
        assert!(watch.look(format!("{unread}data: [DONE]\n\n").as_bytes()).end);
        let both =
            r#"data: {"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":"abort"}]}"#;
        let look = Watch::new(Endpoint::Chat, false, 2).look(format!("{both}\n\n").as_bytes());
        assert_eq!(look.broken, Some((0, Cause::OutOfResourcesMidStream)));
    }

    #[test]
    fn named_streams_end_with_their_last_event() {
        let mut watch = Watch::new(Endpoint::Messages, true, 1);
        assert!(!watch.look(b"event: ping\ndata: {\"type\":\"ping\"}\n\n").end);
        assert!(watch.look(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n").end);
        assert!(!watch.failed());
        let error = b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
        let look = watch.look(error);
        assert!(look.end && look.gave_up && watch.failed());
        assert!(!watch.look(error).gave_up, "it is told once");
        let mut watch = Watch::new(Endpoint::Responses, true, 1);
        let look = watch.look(
            b"event: response.failed\ndata: {\"response\":{\"error\":{\"code\":\"invalid_prompt\"}}}\n\n",
        );
        assert!(!look.gave_up && watch.failed(), "a mistake of the caller's");
    }
}
