//! The answer to a request: made of the request alone, so that the same question always gets the same answer.
//!
//! It names the upstream and the model, then repeats what was said, word by word: a token is a word with its space.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{
    begun::Begun,
    flavor::Flavor,
    options::Options,
    pieces::Pieces,
    scenario::{ReasoningField, Scenario, UsageFields, UsagePlace},
    wire::sse::Framing,
};

/// What an answer needs of a request, whichever API it came by.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent switch of a request")]
pub(crate) struct Ask {
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) thinking: bool,
    pub(crate) json: bool,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) prompt_tokens: u64,
    /// Tokens of the prompt that an earlier request could have left in the cache.
    pub(crate) cached_tokens: u64,
    /// What the user said last.
    pub(crate) text: String,
    /// The beginning of the answer, which the answer goes on from.
    pub(crate) begun: Option<Begun>,
    pub(crate) stop: Vec<String>,
    pub(crate) tools: Vec<String>,
    pub(crate) forced_tool: Option<String>,
    /// How many alternatives of each token are asked for, if probabilities are.
    pub(crate) logprobs: Option<usize>,
}

/// An answer, in no API's shape yet.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) reasoning: Option<Pieces>,
    pub(crate) content: Pieces,
    pub(crate) tools: Vec<ToolCall>,
    pub(crate) finish: String,
    pub(crate) usage: Usage,
    pub(crate) include_usage: bool,
    pub(crate) logprobs: Option<usize>,
    pub(crate) style: Style,
}

/// When every answer was made.
pub(crate) const CREATED: u64 = 1_795_132_800;
/// The build that made every answer.
pub(crate) const FINGERPRINT: &str = "fp_eaab8d114b_prod0820_fp8_kvcache";

/// A tool call.
#[derive(Clone, Debug)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: Pieces,
}

/// Token counts; misses are what is not a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) hit: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: Option<u64>,
}

/// How the answer looks on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) framing: Framing,
    pub(crate) usage_place: UsagePlace,
    pub(crate) usage_fields: UsageFields,
    pub(crate) reasoning_field: ReasoningField,
    pub(crate) prompt_filtered: bool,
    pub(crate) no_choices: bool,
    pub(crate) null_content: bool,
}

impl Style {
    pub(crate) fn of(scenario: &Scenario, options: &Options) -> Self {
        let flavor = options.flavor;
        Self {
            framing: Framing::of(scenario),
            usage_place: scenario.usage.unwrap_or_else(|| flavor.usage_place()),
            usage_fields: scenario.usage_fields.unwrap_or_else(|| flavor.usage_fields()),
            reasoning_field: scenario.reasoning_field.unwrap_or_else(|| flavor.reasoning_field()),
            prompt_filtered: flavor == Flavor::Azure,
            no_choices: scenario.no_choices,
            null_content: scenario.null_content,
        }
    }
}

/// Tokens of a prompt's text, four bytes each.
pub(crate) fn tokens_of(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// A stable hash.
pub(crate) fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// An id shaped like a UUID.
pub(crate) fn uuid_of(seed: impl Hash) -> String {
    let (a, b) = (digest((&seed, 'a')), digest((&seed, 'b')));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}

fn alphanumeric(seed: impl Hash, length: usize) -> String {
    const SIGNS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..length)
        .map(|place| char::from(SIGNS[usize::try_from(digest((&seed, place)) % 62).unwrap_or(0)]))
        .collect()
}

/// What is thought before an answer.
pub const REASONING: &str =
    "The user said something. I will name myself, then say it back, so that they can see who answered.";
const TAIL: &str = "This answer was made by a fake, word by word, and is the same each time.";
const DSML: &str = "<｜DSML｜tool_calls><｜DSML｜invoke name=\"weather\"><｜DSML｜parameter name=\"location\" \
                    string=\"true\">Paris</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>";

/// Answers a request. `seed` is its body: it decides the ids.
pub(crate) fn answer(ask: &Ask, scenario: &Scenario, options: &Options, seed: &[u8]) -> Answer {
    let tools = tool_calls(ask, scenario, seed);
    let pieces = if scenario.dsml { Pieces::splinters } else { Pieces::words };
    let thought = || {
        Pieces::words(scenario.reasoning.as_deref().unwrap_or(REASONING)).shaped(scenario.reasoning_chunks, 0)
    };
    let mut reasoning = ask.thinking.then(thought);
    let (text, stopped) = cut_at_stop(text(ask, scenario, options), &ask.stop);
    let mut content = if tools.is_empty() {
        pieces(&text).shaped(scenario.chunks, scenario.chunk_bytes)
    } else {
        Pieces::default()
    };
    if let Some(begun) = &ask.begun {
        content = begun.rest_of_content(content);
        reasoning = reasoning.map(|whole| begun.rest_of_reasoning(whole));
    }
    let mut finish = if tools.is_empty() { "stop" } else { "tool_calls" };
    if let Some(max) = ask.max_tokens.map(|max| usize::try_from(max).unwrap_or(usize::MAX)) {
        // Reasoning counts, and comes first: it may leave nothing for the answer.
        let thought = reasoning.as_ref().map_or(0, Pieces::len);
        if thought + content.len() > max && !stopped {
            finish = "length";
        }
        content = content.first(max.saturating_sub(thought));
        reasoning = reasoning.map(|pieces| pieces.first(max));
    }
    let thought = reasoning.as_ref().map(|pieces| pieces.len() as u64);
    let called: usize = tools.iter().map(|call| call.arguments.len() + 1).sum();
    let completion = (content.len() + called) as u64 + thought.unwrap_or(0);
    let prompt = scenario.prompt_tokens.unwrap_or(ask.prompt_tokens);
    Answer {
        id: uuid_of((&options.name, seed)),
        model: ask.model.clone(),
        content,
        tools,
        finish: scenario.finish_reason.clone().unwrap_or_else(|| finish.to_owned()),
        usage: Usage {
            prompt,
            // The cache works in units of 64 tokens.
            hit: scenario.cached_tokens.unwrap_or(ask.cached_tokens / 64 * 64).min(prompt),
            completion: scenario.completion_tokens.unwrap_or(completion),
            reasoning: thought,
        },
        reasoning,
        include_usage: ask.include_usage,
        logprobs: ask.logprobs,
        style: Style::of(scenario, options),
    }
}

fn text(ask: &Ask, scenario: &Scenario, options: &Options) -> String {
    if scenario.dsml {
        return DSML.to_owned();
    }
    if let Some(text) = &scenario.answer {
        return text.clone();
    }
    let (name, model) = (&options.name, &ask.model);
    if ask.json {
        return serde_json::json!({"upstream": name, "model": model, "said": ask.text}).to_string();
    }
    echo(name, model, &ask.text)
}

/// What the upstream `name` says as `model` to somebody who said `text`, where no scenario and no parameter of the
/// request wants it otherwise.
pub fn echo(name: &str, model: &str, text: &str) -> String {
    format!("[{name} {model}] You said: {text} {TAIL}")
}

fn cut_at_stop(text: String, stops: &[String]) -> (String, bool) {
    let cut = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min();
    match cut {
        Some(at) => (text[..at].to_owned(), true),
        None => (text, false),
    }
}

fn tool_calls(ask: &Ask, scenario: &Scenario, seed: &[u8]) -> Vec<ToolCall> {
    let count =
        if scenario.tool_calls > 0 { scenario.tool_calls } else { u32::from(ask.forced_tool.is_some()) };
    (0..count)
        .map(|index| {
            let name = ask.forced_tool.clone().unwrap_or_else(|| match ask.tools.len() {
                0 => "weather".to_owned(),
                known => ask.tools[index as usize % known].clone(),
            });
            let padding = "x".repeat(scenario.tool_bytes);
            let arguments = if padding.is_empty() {
                format!("{{\"location\": \"City {index}\", \"unit\": \"celsius\"}}")
            } else {
                format!("{{\"location\": \"City {index}\", \"padding\": \"{padding}\"}}")
            };
            ToolCall {
                id: format!("call_{index:02}_{}", alphanumeric((seed, index), 24)),
                name,
                arguments: Pieces::words(&arguments),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_upstream_goes_on_where_the_first_was_cut() {
        let ask = Ask { text: "hello world".into(), ..Ask::default() };
        let (a, b) = (Options::named("a"), Options::named("b"));
        let whole = answer(&ask, &Scenario::plain(), &a, b"").content.text();
        let (begun, rest) = whole.split_at(whole.find("world").unwrap());
        let begun = Begun { reasoning: String::new(), content: begun.into() };
        let ask = Ask { begun: Some(begun), ..ask };
        assert_eq!(answer(&ask, &Scenario::plain(), &b, b"").content.text(), rest);
    }

    #[test]
    fn another_upstream_goes_on_inside_of_the_reasoning_and_says_all_of_the_answer() {
        let ask = Ask { text: "hello".into(), thinking: true, ..Ask::default() };
        let options = Options::named("a");
        let whole = answer(&ask, &Scenario::plain(), &options, b"");
        let thought = whole.reasoning.unwrap().text();
        let (begun, rest) = thought.split_at(thought.find("then").unwrap());
        let ask = Ask { begun: Some(Begun { reasoning: begun.into(), content: String::new() }), ..ask };
        let second = answer(&ask, &Scenario::plain(), &options, b"");
        assert_eq!(second.reasoning.unwrap().text(), rest);
        assert_eq!(second.content.text(), whole.content.text());
    }

    #[test]
    fn reasoning_can_use_up_all_of_max_tokens() {
        let ask = Ask { text: "x".into(), thinking: true, max_tokens: Some(3), ..Ask::default() };
        let answer = answer(&ask, &Scenario::plain(), &Options::default(), b"");
        assert_eq!((answer.finish.as_str(), answer.content.len(), answer.usage.completion), ("length", 0, 3));
    }
}
