//! Whether what a client received is one right answer, or one clear error. There is nothing else.

mod events;

use super::plan::Plan;
use super::world::{KEPT, STATIC, UPSTREAMS};
use events::Events;
use mock_deepseek::{REASONING, echo};
use serde_json::Value;

/// What a client received.
#[derive(Debug, Default)]
pub struct Heard {
    /// The status; 0 without a head.
    pub status: u16,
    pub bytes: Vec<u8>,
    /// How the connection failed, if it did.
    pub broken: Option<String>,
    /// Whether the client left by itself.
    pub left: bool,
}

/// What came of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of the right answer, once.
    Answer,
    /// One clear error, with this code.
    Error(String),
    /// The client left before the end, and what it had was right so far.
    Left,
    /// What must not be.
    Violation(String),
}

/// Judges a call.
pub fn judge(plan: &Plan, heard: &Heard) -> Verdict {
    if let (Some(broken), false) = (&heard.broken, heard.left) {
        return Verdict::Violation(broken.clone());
    }
    let verdict = match heard.status {
        200 if plan.stream => stream(plan, heard),
        _ if heard.left => return Verdict::Left,
        200 => whole(plan, &heard.bytes),
        _ => refusal(&heard.bytes),
    };
    verdict.unwrap_or_else(Verdict::Violation)
}

/// The gateway's own envelope, which names a code.
fn refusal(bytes: &[u8]) -> Result<Verdict, String> {
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("an error that is no JSON: {error}"))?;
    code(&body).map(Verdict::Error).ok_or_else(|| "an error without a code".to_owned())
}

fn code(body: &Value) -> Option<String> {
    let error = body.get("error")?;
    error.get("message")?.as_str()?;
    Some(error.get("code")?.as_str()?.to_owned())
}

fn whole(plan: &Plan, bytes: &[u8]) -> Result<Verdict, String> {
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("an answer that is no JSON: {error}"))?;
    let choice = &body["choices"][0];
    let (message, text) = (&choice["message"], |value: &Value| value.as_str().unwrap_or_default().to_owned());
    let said = Said {
        content: text(&message["content"]),
        reasoning: text(&message["reasoning_content"]),
        gaps: vec![],
    };
    said.is_all(plan)?;
    ensure(message["role"] == "assistant", "no role")?;
    ensure(choice["finish_reason"].is_string(), "no finish reason")?;
    ensure(body["model"] == plan.model, "another model")?;
    Ok(Verdict::Answer)
}

fn stream(plan: &Plan, heard: &Heard) -> Result<Verdict, String> {
    let events = Events::read(plan, &heard.bytes, heard.left)?;
    events.said.is_beginning(plan)?;
    if heard.left && events.error.is_none() && !events.done {
        return Ok(Verdict::Left);
    }
    if let Some(code) = events.error {
        ensure(!events.finished, "an error after the finish")?;
        return Ok(Verdict::Error(code));
    }
    ensure(events.done, "neither an end mark nor an error")?;
    ensure(events.finished, "an end mark without a finish")?;
    ensure(events.role, "no role")?;
    events.said.is_all(plan)?;
    if let (Some(tokens), true) = (events.tokens, events.said.gaps.is_empty()) {
        let wanted = if events.said.content == STATIC { 0 } else { events.said.tokens() };
        ensure(tokens == wanted, &format!("{tokens} tokens counted in place of {wanted}"))?;
    }
    Ok(Verdict::Answer)
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// What an answer says.
#[derive(Debug, Default)]
struct Said {
    content: String,
    reasoning: String,
    /// Where in the content a frame of garbage came: the fake sends it in place of a word.
    gaps: Vec<usize>,
}

impl Said {
    /// Its tokens, as the fakes count them: by words.
    fn tokens(&self) -> u64 {
        let words = |text: &str| if text.is_empty() { 0 } else { text.matches(' ').count() as u64 + 1 };
        words(&self.content) + words(&self.reasoning)
    }

    fn is_all(&self, plan: &Plan) -> Result<(), String> {
        self.compare(plan, |said, wanted| said == wanted, |after, wanted| wanted.ends_with(after))
    }

    fn is_beginning(&self, plan: &Plan) -> Result<(), String> {
        self.compare(plan, |said, wanted| wanted.starts_with(said), |after, wanted| wanted.contains(after))
    }

    fn compare(
        &self,
        plan: &Plan,
        fits: impl Fn(&str, &str) -> bool,
        fits_after: impl Fn(&str, &str) -> bool,
    ) -> Result<(), String> {
        let Self { content, reasoning, gaps } = self;
        if plan.model == KEPT && reasoning.is_empty() && gaps.is_empty() && fits(content, STATIC) {
            return Ok(());
        }
        let wanted = if plan.thinking { REASONING } else { "" };
        if !fits(reasoning, wanted) && gaps.is_empty() {
            return Err(format!("reasoning {reasoning:?}"));
        }
        let right = UPSTREAMS.iter().any(|upstream| {
            let wanted = echo(upstream, plan.model, &plan.prompt);
            match gaps.as_slice() {
                [] => fits(content, &wanted),
                [gap] => wanted.starts_with(&content[..*gap]) && fits_after(&content[*gap..], &wanted),
                _ => false,
            }
        });
        if right { Ok(()) } else { Err(format!("content {content:?}")) }
    }
}

#[cfg(test)]
mod tests;
