//! `POST /anthropic/v1/messages`: Anthropic's messages, as DeepSeek speaks them. Errors stay in OpenAI's envelope.

use std::iter;

use serde::Deserialize;
use serde_json::Value;

use super::{
    errors::{ErrorKind, Refusal},
    object::{NULL, Object, object},
    sse::{Frame, Frames, Part},
};
use crate::{
    answer::{Answer, Ask, ToolCall, Usage, tokens_of},
    check::{House, context},
    pieces::Pieces,
    request::{Thinking, said_in},
    scenario::UsagePlace,
};

#[derive(Debug, Deserialize)]
pub(crate) struct MessagesRequest {
    model: String,
    max_tokens: i64,
    messages: Vec<Message>,
    #[serde(default)]
    system: Value,
    stream: Option<bool>,
    thinking: Option<Thinking>,
    temperature: Option<f64>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<ToolChoice>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: Role,
    content: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
    System,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ToolChoice {
    None,
    Auto,
    Any,
    Tool { name: String },
}

/// Checks a request.
pub(crate) fn ask(request: MessagesRequest, house: House<'_>) -> Result<Ask, Refusal> {
    let model = house.model(served_for(&request.model))?;
    let thinking = house.scenario.thinking.unwrap_or(!matches!(request.thinking, Some(Thinking::Disabled)));
    if request.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        let message = "Invalid temperature value, the valid range of temperature is [0, 2]";
        return Err(Refusal::saying(ErrorKind::Invalid, message));
    }
    let forced_tool = match request.tool_choice {
        Some(ToolChoice::Any) => request.tools.first().map(|tool| tool.name.clone()),
        Some(ToolChoice::Tool { name }) => Some(name),
        Some(ToolChoice::None | ToolChoice::Auto) | None => None,
    };
    if thinking && forced_tool.is_some() {
        return Err(Refusal::of(ErrorKind::ToolChoice));
    }
    let unthought =
        |message: &Message| message.role == Role::Assistant && !has_block(&message.content, "thinking");
    if thinking && !request.tools.is_empty() && request.messages.iter().any(unthought) {
        let message = "The `content[].thinking` in the thinking mode must be passed back to the API.";
        return Err(Refusal::saying(ErrorKind::ReasoningMissing, message));
    }
    let tokens = |message: &Message| tokens_of(&said_in(&message.content)) + 4;
    let system = tokens_of(&said_in(&request.system));
    let prompt_tokens = system + request.messages.iter().map(tokens).sum::<u64>();
    context(prompt_tokens, Some(request.max_tokens), house)?;
    let known = request.messages.len().saturating_sub(1);
    Ok(Ask {
        model,
        stream: request.stream.unwrap_or(false),
        include_usage: true,
        thinking,
        max_tokens: u64::try_from(request.max_tokens).ok(),
        prompt_tokens,
        cached_tokens: system + request.messages[..known].iter().map(tokens).sum::<u64>(),
        text: request
            .messages
            .iter()
            .rfind(|message| message.role == Role::User)
            .map_or_else(String::new, |message| said_in(&message.content)),
        stop: request.stop_sequences,
        tools: request.tools.into_iter().map(|tool| tool.name).collect(),
        forced_tool,
        ..Ask::default()
    })
}

/// Claude's names are served too.
fn served_for(model: &str) -> &str {
    match model {
        _ if model.starts_with("claude-opus") => "deepseek-v4-pro",
        _ if model.starts_with("claude") => "deepseek-flash",
        _ => model,
    }
}

fn has_block(content: &Value, kind: &str) -> bool {
    content.as_array().is_some_and(|blocks| blocks.iter().any(|block| block["type"] == kind))
}

fn stop_reason(finish: &str) -> &str {
    match finish {
        "stop" => "end_turn",
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        other => other,
    }
}

fn usage(usage: Usage) -> Object {
    object! {
        "input_tokens": usage.prompt - usage.hit, "cache_creation_input_tokens": 0, "cache_read_input_tokens": usage.hit,
        "output_tokens": usage.completion, "service_tier": "standard",
    }
}

/// The whole answer.
pub(crate) fn whole(answer: &Answer) -> String {
    let mut content = Vec::new();
    if let Some(reasoning) = &answer.reasoning {
        content.push(object! {"type": "thinking", "thinking": reasoning.text(), "signature": answer.id});
    }
    if answer.tools.is_empty() {
        content.push(object! {"type": "text", "text": answer.content.text()});
    }
    content.extend(answer.tools.iter().map(|call| {
        let arguments: Value = serde_json::from_str(&call.arguments.text()).unwrap_or_default();
        object! {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
    }));
    let mut message = object! {
        "id": answer.id, "type": "message", "role": "assistant", "model": answer.model, "content": content,
        "stop_reason": stop_reason(&answer.finish), "stop_sequence": NULL,
    };
    if answer.style.usage_place != UsagePlace::None {
        message.put("usage", usage(answer.usage));
    }
    message.to_text()
}

/// The stream: events from `message_start` to `message_stop`; no `[DONE]`.
pub(crate) fn frames(answer: &Answer) -> Frames {
    let framing = answer.style.framing;
    let event = move |part, kind: &'static str, fields: Object| -> Frame {
        let mut data = object! {"type": kind};
        data.append(fields);
        framing.event(part, kind, &data.to_text())
    };
    // Nothing is said yet when the message starts.
    let nothing_said = usage(Usage { completion: 0, ..answer.usage });
    let message = object! {
        "id": answer.id, "type": "message", "role": "assistant", "model": answer.model, "content": Vec::<()>::new(),
        "stop_reason": NULL, "stop_sequence": NULL, "usage": nothing_said,
    };
    let start = event(Part::Data, "message_start", object! {"message": message});

    let mut blocks: Vec<(Object, &'static str, &'static str, Pieces)> = Vec::new();
    if let Some(reasoning) = &answer.reasoning {
        let block = object! {"type": "thinking", "thinking": "", "signature": ""};
        blocks.push((block, "thinking_delta", "thinking", reasoning.clone()));
    }
    if answer.tools.is_empty() {
        blocks.push((object! {"type": "text", "text": ""}, "text_delta", "text", answer.content.clone()));
    }
    for ToolCall { id, name, arguments } in &answer.tools {
        let block = object! {"type": "tool_use", "id": id, "name": name, "input": Object::default()};
        blocks.push((block, "input_json_delta", "partial_json", arguments.clone()));
    }
    let blocks = blocks.into_iter().enumerate().flat_map(move |(index, (block, kind, key, pieces))| {
        let begin =
            event(Part::Data, "content_block_start", object! {"index": index, "content_block": block});
        let deltas = pieces.each(move |text| {
            let mut delta = object! {"type": kind};
            delta.put(key, text);
            event(Part::Data, "content_block_delta", object! {"index": index, "delta": delta})
        });
        let end = event(Part::Data, "content_block_stop", object! {"index": index});
        iter::once(begin).chain(deltas).chain(iter::once(end))
    });

    let delta = object! {"stop_reason": stop_reason(&answer.finish), "stop_sequence": NULL};
    let mut end = object! {"delta": delta};
    if answer.style.usage_place != UsagePlace::None {
        end.put("usage", usage(answer.usage));
    }
    let end =
        [event(Part::Finish, "message_delta", end), event(Part::Done, "message_stop", Object::default())];
    Box::new(iter::once(start).chain(blocks).chain(end))
}
