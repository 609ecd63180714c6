//! Reads the events of one chat stream, as a strict client would.

use super::super::plan::Plan;
use super::{Said, code, ensure};
use serde_json::Value;

/// What a stream held.
#[derive(Debug, Default)]
pub struct Events {
    pub(super) said: Said,
    pub(super) role: bool,
    pub(super) finished: bool,
    pub(super) done: bool,
    pub(super) error: Option<String>,
    id: Option<Value>,
    usages: u32,
    /// Completion tokens that were counted.
    pub(super) tokens: Option<u64>,
}

impl Events {
    /// Reads a stream. One that its client `left` may end in the middle of an event.
    pub(super) fn read(plan: &Plan, bytes: &[u8], left: bool) -> Result<Self, String> {
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if left => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
            Err(error) => return Err(format!("not UTF-8: {error}")),
        };
        let ends = ["\n\n", "\n\r\n"].iter().filter_map(|end| Some(text.rfind(end)? + end.len())).max();
        let (whole, rest) = text.split_at(ends.unwrap_or_default());
        ensure(left || rest.is_empty(), "half an event at the end")?;
        let mut events = Self::default();
        for line in whole.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            let data =
                line.strip_prefix("data:").ok_or_else(|| format!("a line that is no data: {line:?}"))?;
            events.data(plan, data.trim())?;
        }
        Ok(events)
    }

    fn data(&mut self, plan: &Plan, data: &str) -> Result<(), String> {
        ensure(!self.done && self.error.is_none(), "data after the end")?;
        if data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            self.said.gaps.push(self.said.content.len());
            return Ok(());
        };
        if chunk.get("error").is_some() {
            self.error = Some(code(&chunk).ok_or("an error event without a code")?);
            return Ok(());
        }
        ensure(chunk["model"] == plan.model, "another model")?;
        let id = self.id.get_or_insert_with(|| chunk["id"].clone());
        ensure(*id == chunk["id"], "another id")?;
        if chunk["usage"].is_object() {
            self.usages += 1;
            self.tokens = chunk["usage"]["completion_tokens"].as_u64();
            ensure(self.usages == 1, "token counts twice")?;
        }
        match chunk["choices"].as_array().map(Vec::as_slice) {
            Some([]) => Ok(()),
            Some([choice]) => self.choice(choice),
            _ => Err("no choices".to_owned()),
        }
    }

    fn choice(&mut self, choice: &Value) -> Result<(), String> {
        let delta = &choice["delta"];
        ensure(!self.finished, "more after the finish")?;
        if delta["role"].is_string() {
            ensure(!self.role, "the role twice")?;
            self.role = true;
        }
        self.said.content.push_str(delta["content"].as_str().unwrap_or_default());
        let thought = delta["reasoning_content"].as_str().unwrap_or_default();
        ensure(thought.is_empty() || self.said.content.is_empty(), "reasoning after content")?;
        self.said.reasoning.push_str(thought);
        self.finished = choice["finish_reason"].is_string();
        Ok(())
    }
}
