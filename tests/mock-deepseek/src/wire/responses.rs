//! `POST /responses`: OpenAI's stateless responses, as DeepSeek speaks them. A stream ends with its last event, no `[DONE]`.

use std::iter;

use serde::Deserialize;
use serde_json::Value;

use super::{
    errors::Refusal,
    object::{NULL, Object, object},
    sse::{Frames, Part},
};
use crate::{
    answer::{Answer, Ask, CREATED, Usage, tokens_of},
    check::{House, context},
    pieces::Pieces,
    request::said_in,
    scenario::UsagePlace,
};

#[derive(Debug, Deserialize)]
pub(crate) struct ResponsesRequest {
    model: String,
    input: Value,
    #[serde(default)]
    instructions: Option<String>,
    max_output_tokens: Option<i64>,
    stream: Option<bool>,
    reasoning: Option<Reasoning>,
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
struct Reasoning {
    effort: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: Option<String>,
}

/// Checks a request; what is not supported is ignored, as it is there.
pub(crate) fn ask(request: ResponsesRequest, house: House<'_>) -> Result<Ask, Refusal> {
    let model = house.model(&request.model)?;
    let asked_not_to_think =
        request.reasoning.is_some_and(|reasoning| reasoning.effort.as_deref() == Some("none"));
    let thinking =
        house.scenario.thinking.unwrap_or(house.options.flavor.is_deepseek() && !asked_not_to_think);
    let instructions = tokens_of(request.instructions.as_deref().unwrap_or_default());
    let prompt_tokens = instructions + tokens_of(&said_in(&request.input)) + 4;
    context(prompt_tokens, request.max_output_tokens, house)?;
    let text = match &request.input {
        Value::Array(items) => {
            let last = items.iter().rfind(|item| item["role"] == "user");
            last.map_or_else(String::new, |item| said_in(&item["content"]))
        }
        input => said_in(input),
    };
    Ok(Ask {
        model,
        stream: request.stream.unwrap_or(false),
        include_usage: true,
        thinking,
        max_tokens: request.max_output_tokens.and_then(|max| u64::try_from(max).ok()),
        prompt_tokens,
        cached_tokens: instructions,
        text,
        tools: request.tools.into_iter().filter_map(|tool| tool.name).collect(),
        ..Ask::default()
    })
}

fn usage(usage: Usage) -> Object {
    let Usage { prompt, hit, completion, reasoning } = usage;
    object! {
        "input_tokens": prompt, "input_tokens_details": object! {"cached_tokens": hit}, "output_tokens": completion,
        "output_tokens_details": object! {"reasoning_tokens": reasoning.unwrap_or(0)}, "total_tokens": prompt + completion,
    }
}

/// How an answer ended: its status, the name of the last event, and the reason where there is one.
fn ending(finish: &str) -> (&'static str, &'static str, Option<Object>, Option<Object>) {
    match finish {
        "length" => {
            let details = object! {"reason": "max_output_tokens"};
            ("incomplete", "response.incomplete", Some(details), None)
        }
        "content_filter" => {
            ("incomplete", "response.incomplete", Some(object! {"reason": "content_filter"}), None)
        }
        "insufficient_system_resource" => {
            let error = object! {"code": "server_error", "message": "Insufficient system resource"};
            ("failed", "response.failed", None, Some(error))
        }
        _ => ("completed", "response.completed", None, None),
    }
}

fn response(answer: &Answer, status: &str, output: &[Object], counts: Option<Object>) -> Object {
    let (_, _, details, error) =
        if status == "in_progress" { ("", "", None, None) } else { ending(&answer.finish) };
    let mut response = object! {
        "id": format!("resp_{}", answer.id), "object": "response", "created_at": CREATED, "status": status, "error": error,
        "incomplete_details": details, "model": answer.model, "output": output, "parallel_tool_calls": true,
        "previous_response_id": NULL, "store": false,
    };
    response.put("usage", counts);
    response
}

/// One output item: what it is, and the text that comes in deltas.
struct Item {
    id: String,
    kind: Kind,
    pieces: Pieces,
}

enum Kind {
    Reasoning,
    Message,
    Call { id: String, name: String },
}

impl Item {
    fn all_of(answer: &Answer) -> Vec<Self> {
        let mut items = Vec::new();
        if let Some(reasoning) = &answer.reasoning {
            items.push(Self { id: "rs_0".into(), kind: Kind::Reasoning, pieces: reasoning.clone() });
        }
        if answer.tools.is_empty() {
            items.push(Self { id: "msg_1".into(), kind: Kind::Message, pieces: answer.content.clone() });
        }
        for (index, call) in answer.tools.iter().enumerate() {
            let kind = Kind::Call { id: call.id.clone(), name: call.name.clone() };
            items.push(Self { id: format!("fc_{index}"), kind, pieces: call.arguments.clone() });
        }
        items
    }

    /// The item with a text, finished or not.
    fn with(&self, text: &str, status: &str) -> Object {
        let id = &self.id;
        let has_text = status != "in_progress";
        match &self.kind {
            Kind::Reasoning => {
                let content = has_text.then(|| object! {"type": "reasoning_text", "text": text});
                object! {
                    "id": id, "type": "reasoning", "summary": Vec::<()>::new(),
                    "content": content.into_iter().collect::<Vec<_>>(), "status": status,
                }
            }
            Kind::Message => {
                let content = has_text.then(|| Self::part(text));
                object! {
                    "id": id, "type": "message", "role": "assistant", "status": status,
                    "content": content.into_iter().collect::<Vec<_>>(),
                }
            }
            Kind::Call { id: call_id, name } => object! {
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": text,
            },
        }
    }

    fn part(text: &str) -> Object {
        object! {"type": "output_text", "text": text, "annotations": Vec::<()>::new()}
    }

    fn delta_event(&self) -> &'static str {
        match self.kind {
            Kind::Reasoning => "response.reasoning_text.delta",
            Kind::Message => "response.output_text.delta",
            Kind::Call { .. } => "response.function_call_arguments.delta",
        }
    }

    /// The events that close it, before `output_item.done`.
    fn closing(&self, index: usize) -> Vec<Event> {
        let (id, text) = (&self.id, self.pieces.text());
        match &self.kind {
            Kind::Reasoning => {
                let fields = object! {"item_id": id, "output_index": index, "content_index": 0, "text": text};
                vec![Event::data("response.reasoning_text.done", fields)]
            }
            Kind::Message => {
                let done = object! {"item_id": id, "output_index": index, "content_index": 0, "text": text};
                let part = object! {"item_id": id, "output_index": index, "content_index": 0, "part": Self::part(&text)};
                vec![
                    Event::data("response.output_text.done", done),
                    Event::data("response.content_part.done", part),
                ]
            }
            Kind::Call { .. } => {
                let fields = object! {"item_id": id, "output_index": index, "arguments": text};
                vec![Event::data("response.function_call_arguments.done", fields)]
            }
        }
    }

    fn events(self, index: usize) -> impl Iterator<Item = Event> {
        let text = self.pieces.text();
        let added = object! {"output_index": index, "item": self.with("", "in_progress")};
        let done = object! {"output_index": index, "item": self.with(&text, "completed")};
        let opened = matches!(self.kind, Kind::Message).then(|| {
            let fields =
                object! {"item_id": self.id, "output_index": index, "content_index": 0, "part": Self::part("")};
            Event::data("response.content_part.added", fields)
        });
        let (name, closing) = (self.delta_event(), self.closing(index));
        let Self { id, kind, pieces } = self;
        let deltas = pieces.each(move |text| {
            let mut fields = object! {"item_id": id, "output_index": index};
            if !matches!(kind, Kind::Call { .. }) {
                fields.put("content_index", 0);
            }
            fields.put("delta", text);
            Event::data(name, fields)
        });
        iter::once(Event::data("response.output_item.added", added))
            .chain(opened)
            .chain(deltas)
            .chain(closing)
            .chain(iter::once(Event::data("response.output_item.done", done)))
    }
}

/// An event that has no number yet.
#[derive(Clone)]
struct Event {
    part: Part,
    name: &'static str,
    fields: Object,
}

impl Event {
    fn data(name: &'static str, fields: Object) -> Self {
        Self { part: Part::Data, name, fields }
    }
}

fn counts_of(answer: &Answer) -> Option<Object> {
    (answer.style.usage_place != UsagePlace::None).then(|| usage(answer.usage))
}

fn finished(answer: &Answer) -> Object {
    let output: Vec<_> =
        Item::all_of(answer).iter().map(|item| item.with(&item.pieces.text(), "completed")).collect();
    response(answer, ending(&answer.finish).0, &output, counts_of(answer))
}

/// The whole answer.
pub(crate) fn whole(answer: &Answer) -> String {
    finished(answer).to_text()
}

/// The stream.
pub(crate) fn frames(answer: &Answer) -> Frames {
    let framing = answer.style.framing;
    let begun = response(answer, "in_progress", &[], None);
    let opening = ["response.created", "response.in_progress"]
        .map(|name| Event::data(name, object! {"response": begun}));
    let items = Item::all_of(answer).into_iter().enumerate().flat_map(|(index, item)| item.events(index));
    let last = Event {
        part: Part::Finish,
        name: ending(&answer.finish).1,
        fields: object! {"response": finished(answer)},
    };
    let numbered = opening.into_iter().chain(items).chain(iter::once(last)).enumerate();
    Box::new(numbered.map(move |(number, event)| {
        let mut data = object! {"type": event.name, "sequence_number": number};
        data.append(event.fields);
        framing.event(event.part, event.name, &data.to_text())
    }))
}
