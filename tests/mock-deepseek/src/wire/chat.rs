//! `chat.completion` and `chat.completion.chunk`, key by key as recorded.

use std::iter;

use super::{
    object::{NULL, Object, object},
    sse::{Frame, Frames, Part},
};
use crate::{
    answer::{Answer, CREATED, FINGERPRINT, ToolCall, Usage},
    pieces::Pieces,
    scenario::{UsageFields, UsagePlace},
};

/// The whole answer.
pub(crate) fn whole(answer: &Answer) -> String {
    let content = answer.content.text();
    let mut message = object! {"role": "assistant"};
    message.put("content", (!answer.style.null_content).then_some(content));
    let reasoning = answer.reasoning.as_ref().map(Pieces::text);
    message.put_some(answer.style.reasoning_field.as_str(), reasoning);
    let logprobs = answer.logprobs.map(|top| {
        let entries = |pieces: &Pieces| pieces.clone().each(|token| logprob(token, top)).collect::<Vec<_>>();
        let mut logprobs = object! {"content": entries(&answer.content)};
        logprobs.put_some("reasoning_content", answer.reasoning.as_ref().map(entries));
        logprobs
    });
    if !answer.tools.is_empty() {
        let calls: Vec<_> =
            answer.tools.iter().enumerate().map(|(index, call)| whole_call(index, call)).collect();
        message.put("tool_calls", calls);
    }
    let choice =
        object! {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": answer.finish};
    let choices = if answer.style.no_choices { vec![] } else { vec![choice] };
    let mut body = object! {
        "id": answer.id, "object": "chat.completion", "created": CREATED, "model": answer.model, "choices": choices
    };
    if answer.style.usage_place != UsagePlace::None {
        body.put("usage", usage(answer.usage, answer.style.usage_fields));
    }
    body.put("system_fingerprint", FINGERPRINT);
    body.to_text()
}

fn whole_call(index: usize, call: &ToolCall) -> Object {
    let function = object! {"name": call.name, "arguments": call.arguments.text()};
    object! {"index": index, "id": call.id, "type": "function", "function": function}
}

/// A token's probability, with so many alternatives; the fake is sure of each.
fn logprob(token: &str, top: usize) -> Object {
    let entry = |token: &str, logprob: f64| {
        object! {"token": token, "logprob": logprob, "bytes": token.as_bytes()}
    };
    let others = (1..top).map(|place| entry(&format!("{token}{place}"), -9999.0));
    let alternatives: Vec<_> = (top > 0).then(|| entry(token, -0.125)).into_iter().chain(others).collect();
    let mut own = entry(token, -0.125);
    own.put("top_logprobs", alternatives);
    own
}

/// The token counts, in the order of the real ones.
pub(crate) fn usage(usage: Usage, fields: UsageFields) -> Object {
    let Usage { prompt, hit, completion, reasoning } = usage;
    let mut object = object! {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion};
    if matches!(fields, UsageFields::DeepSeek | UsageFields::Details) {
        object.put("prompt_tokens_details", object! {"cached_tokens": hit});
        let details = reasoning.map(|tokens| object! {"reasoning_tokens": tokens});
        object.put_some("completion_tokens_details", details);
    }
    if matches!(fields, UsageFields::DeepSeek | UsageFields::HitMiss) {
        object.put("prompt_cache_hit_tokens", hit);
        object.put("prompt_cache_miss_tokens", prompt - hit);
    }
    if fields == UsageFields::TopReasoning {
        object.put("reasoning_tokens", reasoning.unwrap_or(0));
    }
    object
}

/// The stream, `[DONE]` included.
pub(crate) fn frames(answer: &Answer) -> Frames {
    let Answer { reasoning, content, tools, finish, usage: counts, .. } = answer.clone();
    let counts = usage(counts, answer.style.usage_fields);
    let place = answer.style.usage_place;
    let writer = Writer { answer: answer.clone() };

    let filtered = answer.style.prompt_filtered.then(|| writer.prompt_filtered());
    let opening = filtered.into_iter().chain(iter::once(writer.data(&writer.opening())));
    let thought = {
        let writer = writer.clone();
        reasoning.into_iter().flat_map(move |pieces| {
            let writer = writer.clone();
            pieces.each(move |text| writer.token("reasoning_content", text, &writer.reasoning(text)))
        })
    };
    let said = {
        let writer = writer.clone();
        content.each(move |text| writer.token("content", text, &writer.content(text)))
    };
    let called = {
        let writer = writer.clone();
        tools.into_iter().enumerate().flat_map(move |(index, call)| writer.clone().call(index, call))
    };
    let finish = {
        let counts = (place == UsagePlace::Finish).then(|| counts.clone());
        iter::once(writer.frame(Part::Finish, &writer.content(""), None, Some(&finish), counts))
    };
    let separate =
        (place == UsagePlace::Separate && writer.answer.include_usage).then(|| writer.usage_alone(counts));
    let done = iter::once(writer.answer.style.framing.data(Part::Done, "[DONE]"));
    Box::new(opening.chain(thought).chain(said).chain(called).chain(finish).chain(separate).chain(done))
}

#[derive(Clone)]
struct Writer {
    answer: Answer,
}

impl Writer {
    fn thinks(&self) -> bool {
        self.answer.reasoning.is_some()
    }

    fn reasoning_key(&self) -> &'static str {
        self.answer.style.reasoning_field.as_str()
    }

    fn opening(&self) -> Object {
        let mut delta = object! {"role": "assistant"};
        if self.thinks() {
            delta.put("content", NULL).put(self.reasoning_key(), "");
        } else {
            delta.put("content", "");
        }
        delta
    }

    fn reasoning(&self, text: &str) -> Object {
        let mut delta = object! {"content": NULL};
        delta.put(self.reasoning_key(), text);
        delta
    }

    fn content(&self, text: &str) -> Object {
        let mut delta = object! {"content": text};
        if self.thinks() {
            delta.put(self.reasoning_key(), NULL);
        }
        delta
    }

    fn call(self, index: usize, call: ToolCall) -> impl Iterator<Item = Frame> {
        let function = object! {"name": call.name, "arguments": ""};
        let begin = object! {"index": index, "id": call.id, "type": "function", "function": function};
        let begin = self.data(&object! {"tool_calls": [begin]});
        iter::once(begin).chain(call.arguments.each(move |text| {
            let more = object! {"index": index, "function": object! {"arguments": text}};
            self.data(&object! {"tool_calls": [more]})
        }))
    }

    fn data(&self, delta: &Object) -> Frame {
        self.frame(Part::Data, delta, None, None, None)
    }

    fn token(&self, key: &'static str, text: &str, delta: &Object) -> Frame {
        let logprobs = self.answer.logprobs.map(|top| {
            let mut logprobs = Object::default();
            logprobs.put(key, [logprob(text, top)]);
            logprobs
        });
        self.frame(Part::Data, delta, logprobs.as_ref(), None, None)
    }

    fn frame(
        &self,
        part: Part,
        delta: &Object,
        logprobs: Option<&Object>,
        finish: Option<&str>,
        counts: Option<Object>,
    ) -> Frame {
        let choice = object! {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish};
        let choices = if self.answer.style.no_choices { vec![] } else { vec![choice] };
        let mut chunk = self.chunk(&choices);
        match counts {
            Some(counts) => {
                chunk.put("usage", counts);
            }
            None if self.answer.include_usage && self.answer.style.usage_place != UsagePlace::None => {
                chunk.put("usage", NULL);
            }
            None => {}
        }
        self.answer.style.framing.data(part, &chunk.to_text())
    }

    /// What Azure says of the prompt before anything else: no choices, nothing that names the answer.
    fn prompt_filtered(&self) -> Frame {
        let result = object! {"violence": object! {"filtered": false, "severity": "safe"}};
        let results = [object! {"prompt_index": 0, "content_filter_results": result}];
        let none: [Object; 0] = [];
        let chunk = object! {
            "choices": none, "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": results,
        };
        self.answer.style.framing.data(Part::Data, &chunk.to_text())
    }

    fn usage_alone(&self, counts: Object) -> Frame {
        let mut chunk = self.chunk(&[]);
        chunk.put("usage", counts);
        self.answer.style.framing.data(Part::Usage, &chunk.to_text())
    }

    fn chunk(&self, choices: &[Object]) -> Object {
        object! {
            "id": self.answer.id, "object": "chat.completion.chunk", "created": CREATED, "model": self.answer.model,
            "system_fingerprint": FINGERPRINT, "choices": choices,
        }
    }
}
