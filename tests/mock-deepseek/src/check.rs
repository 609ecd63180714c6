//! The rules a chat request must keep, in the words DeepSeek refuses with; what is left is an [`Ask`].

use crate::{
    answer::{Ask, tokens_of},
    begun::Begun,
    flavor::Flavor,
    options::Options,
    request::{ChatRequest, Content, Message, Stop, Thinking, Tool, ToolChoice},
    scenario::Scenario,
    wire::errors::{ErrorKind, Refusal},
};

/// What the server that is asked is like.
#[derive(Clone, Copy)]
pub(crate) struct House<'a> {
    pub(crate) options: &'a Options,
    pub(crate) scenario: &'a Scenario,
    pub(crate) beta: bool,
}

/// Efforts that DeepSeek's chat knows; `none` is for its Responses alone.
const EFFORTS: [&str; 7] = ["minimal", "low", "medium", "high", "xhigh", "max", "ultra"];

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::saying(ErrorKind::Invalid, message)
}

/// Checks a chat request and boils it down to what an answer needs.
pub(crate) fn chat(request: ChatRequest, house: House<'_>) -> Result<Ask, Refusal> {
    let model = house.model(&request.model)?;
    let thinking = house.scenario.thinking.unwrap_or_else(|| thinks(&request, house.options.flavor));
    if request.messages.is_empty() {
        return Err(invalid("Empty input messages"));
    }
    known_to_openai(&request, house)?;
    effort(&request, house)?;
    ranges(&request, house)?;
    tools(&request, thinking, house)?;
    conversation(&request, thinking, house)?;
    let prompt: u64 = request.messages.iter().map(|message| tokens_of(text_of(message)) + 4).sum();
    context(prompt, request.max_tokens, house)?;

    let known = request.messages.len().saturating_sub(1);
    let cached = request.messages[..known].iter().map(|message| tokens_of(text_of(message)) + 4).sum();
    let last_user = request.messages.iter().rev().find_map(|message| match message {
        Message::User { content } => Some(content.text.clone()),
        _ => None,
    });
    let begun = Begun::of(&request, thinking, house.options.flavor);
    let tool_names: Vec<_> = request.tools.unwrap_or_default().into_iter().map(Tool::into_name).collect();
    let forced_tool = match request.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name),
        Some(ToolChoice::Required) => tool_names.first().cloned(),
        _ => None,
    };
    Ok(Ask {
        model,
        stream: request.stream.unwrap_or(false),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        thinking,
        json: request.response_format.is_some_and(|format| format.kind == "json_object"),
        max_tokens: request.max_tokens.and_then(|max| u64::try_from(max).ok()),
        prompt_tokens: prompt,
        cached_tokens: cached,
        text: last_user.unwrap_or_default(),
        begun,
        stop: request.stop.map(Stop::into_list).unwrap_or_default(),
        tools: tool_names,
        forced_tool,
        logprobs: (request.logprobs == Some(true))
            .then(|| request.top_logprobs.and_then(|top| usize::try_from(top).ok()).unwrap_or(0)),
    })
}

/// Whether a request is thought about, as each server is told so; what a server does not know, it ignores.
fn thinks(request: &ChatRequest, flavor: Flavor) -> bool {
    let in_template = || {
        let arguments = request.chat_template_kwargs.as_ref();
        let is_on = |name| arguments.and_then(|arguments| arguments.get(name)?.as_bool());
        is_on("thinking").or_else(|| is_on("enable_thinking")).unwrap_or(false)
    };
    match flavor {
        Flavor::DeepSeek => !matches!(request.thinking, Some(Thinking::Disabled)),
        Flavor::Vllm | Flavor::SgLang => in_template(),
        Flavor::SiliconFlow => request.enable_thinking.unwrap_or(false),
        Flavor::Ollama | Flavor::OpenAi | Flavor::Azure => {
            request.reasoning_effort.as_ref().is_some_and(|effort| effort != "none")
        }
    }
}

impl House<'_> {
    /// The model that serves a name.
    pub(crate) fn model(self, name: &str) -> Result<String, Refusal> {
        let options = self.options;
        if name.starts_with("mock/") || options.models.iter().any(|model| model == name) {
            return Ok(name.to_owned());
        }
        if !options.flavor.is_deepseek() && options.models.is_empty() {
            return Ok(name.to_owned());
        }
        if let Some((_, model)) = options.aliases.iter().find(|(alias, _)| alias == name) {
            return Ok(model.clone());
        }
        let names = options.models.join(", ");
        Err(if options.flavor.is_deepseek() {
            let message = format!("The supported API model names are {names}, but you passed {name}.");
            Refusal::saying(ErrorKind::Model, message)
        } else {
            Refusal::saying(ErrorKind::Model, format!("The model `{name}` does not exist."))
                .with_status(Some(404))
        })
    }
}

fn ranges(request: &ChatRequest, house: House<'_>) -> Result<(), Refusal> {
    let range = |name: &str, value: Option<f64>, low: f64, high: f64| match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(invalid(format!("Invalid {name} value, the valid range of {name} is [{low}, {high}]")))
        }
        _ => Ok(()),
    };
    range("temperature", request.temperature, 0.0, 2.0)?;
    range("top_p", request.top_p, 0.0, 1.0)?;
    range("frequency_penalty", request.frequency_penalty, -2.0, 2.0)?;
    range("presence_penalty", request.presence_penalty, -2.0, 2.0)?;
    if let Some(max) = request.max_tokens
        && !(1..=house.options.max_output).contains(&max)
    {
        let top = house.options.max_output;
        return Err(invalid(format!(
            "Invalid max_tokens value, the valid range of max_tokens is [1, {top}]"
        )));
    }
    if request.stream_options.is_some() && request.stream != Some(true) {
        return Err(invalid("stream_options should be set along with stream = true"));
    }
    match request.top_logprobs {
        Some(_) if request.logprobs != Some(true) => {
            return Err(invalid("top_logprobs should be set along with logprobs = true"));
        }
        Some(top) if !(0..=20).contains(&top) => {
            return Err(invalid("Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]"));
        }
        _ => {}
    }
    if matches!(&request.stop, Some(Stop::Many(stops)) if stops.len() > 16) {
        return Err(invalid("Invalid stop value, at most 16 stop sequences are allowed"));
    }
    if request.user_id.as_ref().is_some_and(|id| id.len() > 512) {
        return Err(invalid("Invalid user_id value, at most 512 bytes are allowed"));
    }
    format(request)
}

/// OpenAI refuses what it does not know; the others leave it out.
fn known_to_openai(request: &ChatRequest, house: House<'_>) -> Result<(), Refusal> {
    let unknown = [
        ("thinking", request.thinking.is_some()),
        ("enable_thinking", request.enable_thinking.is_some()),
        ("chat_template_kwargs", request.chat_template_kwargs.is_some()),
        ("user_id", request.user_id.is_some()),
    ];
    match unknown.into_iter().find(|(_, given)| *given) {
        Some((field, _)) if house.options.flavor == Flavor::OpenAi => {
            Err(invalid(format!("Unknown parameter: '{field}'.")))
        }
        _ => Ok(()),
    }
}

/// An effort that the platform does not know is no value of its type.
fn effort(request: &ChatRequest, house: House<'_>) -> Result<(), Refusal> {
    match &request.reasoning_effort {
        Some(effort) if house.options.flavor.is_deepseek() && !EFFORTS.contains(&effort.as_str()) => {
            let known = EFFORTS.map(|effort| format!("`{effort}`")).join(", ");
            let message = format!(
                "Failed to deserialize the JSON body into the target type: reasoning_effort: unknown variant \
                 `{effort}`, expected one of {known}"
            );
            Err(Refusal::saying(ErrorKind::BadRequest, message))
        }
        _ => Ok(()),
    }
}

fn format(request: &ChatRequest) -> Result<(), Refusal> {
    let Some(format) = &request.response_format else { return Ok(()) };
    match format.kind.as_str() {
        "text" => Ok(()),
        "json_object" => {
            let says_json = |message| text_of(message).to_ascii_lowercase().contains("json");
            if request.messages.iter().any(says_json) {
                return Ok(());
            }
            Err(invalid(
                "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
            ))
        }
        _ => Err(invalid("This response_format type is unavailable now")),
    }
}

fn tools(request: &ChatRequest, thinking: bool, house: House<'_>) -> Result<(), Refusal> {
    let tools = request.tools.as_deref().unwrap_or_default();
    if tools.len() > 128 {
        return Err(invalid("Invalid tools: at most 128 functions are supported"));
    }
    for tool in tools {
        let function = tool.function();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if function.name.is_empty() || function.name.len() > 64 || !function.name.chars().all(fits) {
            let name = &function.name;
            return Err(invalid(format!(
                "Invalid function name `{name}`: must match ^[a-zA-Z0-9_-]{{1,64}}$"
            )));
        }
        if function.strict == Some(true) && !house.beta && house.options.flavor.is_deepseek() {
            return Err(invalid("strict mode is only available on the beta base URL"));
        }
    }
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    if forced && thinking && house.options.flavor.is_deepseek() {
        return Err(Refusal::of(ErrorKind::ToolChoice));
    }
    if forced && tools.is_empty() {
        return Err(invalid("When using `tool_choice`, `tools` must be set."));
    }
    Ok(())
}

fn conversation(request: &ChatRequest, thinking: bool, house: House<'_>) -> Result<(), Refusal> {
    if house.options.flavor == Flavor::Vllm
        && request.continue_final_message == Some(true)
        && request.add_generation_prompt != Some(false)
    {
        return Err(invalid("Cannot set both `continue_final_message` and `add_generation_prompt` to True."));
    }
    let has_tools = request.tools.as_ref().is_some_and(|tools| !tools.is_empty());
    let last = request.messages.len() - 1;
    let mut due: Vec<&str> = Vec::new();
    for (index, message) in request.messages.iter().enumerate() {
        if let Message::Tool { tool_call_id, .. } = message {
            let Some(place) = due.iter().position(|id| id == tool_call_id) else {
                return Err(invalid(
                    "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
                ));
            };
            due.remove(place);
            continue;
        }
        calls_are_answered(&due)?;
        let Message::Assistant { content, reasoning_content, tool_calls, prefix, .. } = message else {
            continue;
        };
        let calls = tool_calls.as_deref().unwrap_or_default();
        due = calls.iter().map(|call| call.id.as_str()).collect();
        if content.is_none() && calls.is_empty() {
            return Err(invalid("Invalid assistant message: content or tool_calls must be set"));
        }
        let deepseek = house.options.flavor.is_deepseek();
        if deepseek
            && thinking
            && has_tools
            && reasoning_content.as_deref().is_none_or(str::is_empty)
            && !*prefix
        {
            return Err(Refusal::of(ErrorKind::ReasoningMissing));
        }
        if index == last
            && calls.is_empty()
            && (house.scenario.reject_prefix || (deepseek && !(*prefix && house.beta)))
        {
            return Err(invalid(
                "The last message must be a user message, or an assistant message with prefix mode on \
                 (refer to https://api-docs.deepseek.com/guides/chat_prefix_completion).",
            ));
        }
        if *prefix && index != last {
            return Err(invalid("Only the last message can be an assistant message with prefix mode on"));
        }
    }
    calls_are_answered(&due)?;
    let images =
        request.messages.iter().any(|message| content_of(message).is_some_and(|content| content.has_image));
    if images && request.model.contains("pro") {
        return Err(Refusal::saying(
            ErrorKind::BadRequest,
            "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `image_url`, \
             expected `text`",
        ));
    }
    Ok(())
}

fn calls_are_answered(due: &[&str]) -> Result<(), Refusal> {
    if due.is_empty() {
        return Ok(());
    }
    Err(invalid(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         (insufficient tool messages following tool_calls message)",
    ))
}

/// Prompt and reserved output together must fit.
pub(crate) fn context(prompt: u64, max_tokens: Option<i64>, house: House<'_>) -> Result<(), Refusal> {
    let completion = max_tokens.and_then(|max| u64::try_from(max).ok()).unwrap_or(0);
    let (total, limit) = (prompt + completion, house.options.context);
    if total <= limit {
        return Ok(());
    }
    let message = format!(
        "This model's maximum context length is {limit} tokens. However, you requested {total} tokens ({prompt} in the \
         messages, {completion} in the completion). Please reduce the length of the messages or completion."
    );
    Err(Refusal::saying(ErrorKind::Context, message))
}

fn content_of(message: &Message) -> Option<&Content> {
    match message {
        Message::System { content }
        | Message::User { content }
        | Message::Tool { content, .. }
        | Message::LatestReminder { content } => Some(content),
        Message::Assistant { content, .. } => content.as_ref(),
    }
}

fn text_of(message: &Message) -> &str {
    content_of(message).map_or("", |content| &content.text)
}
