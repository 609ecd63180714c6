//! The request that makes a backend go on with an answer.
//!
//! DeepSeek's beta goes on from a last message with `prefix: true`, its `reasoning_content` included. vLLM and SGLang
//! go on with the last message under `continue_final_message`; SGLang appends it to the prompt as it is, behind the
//! `<think>` that thinking begins with, so that it can be continued inside of the reasoning as well. vLLM renders it by
//! the model's template, which closes the reasoning: there only content is continued, and without thinking. Everything
//! else of the caller's body stays as it came.

use super::edits::{Edits, escaped, place};
use super::outcome::Outcome;
use super::request::{Begun, Request};
use super::stitch::Stitch;
use super::transcript::Transcript;
use crate::pipeline::endpoint::Endpoint;
use bytes::Bytes;
use deepseek_crds::v1alpha1::Flavor;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is to be done about a broken answer.
pub enum Next {
    /// Nothing is missing but this end.
    End(Bytes),
    /// A backend is to go on with it.
    Ask(Box<Resumption>),
}

/// A broken answer that can be continued.
pub struct Resumption {
    endpoint: Endpoint,
    body: Bytes,
    transcript: Transcript,
    stops: Vec<String>,
}

/// What one kind of server is asked.
pub struct Continuation {
    /// Where.
    pub endpoint: Endpoint,
    /// The whole body.
    pub body: Bytes,
    /// Tokens of the answer that it holds.
    in_prompt: u64,
    believes_silence: bool,
}

impl Resumption {
    /// What is to be done about the answer to the call with this body, of which `transcript` was sent.
    pub fn of(endpoint: Endpoint, body: &Bytes, transcript: &Transcript) -> Result<Next, Outcome> {
        if let Some(obstacle) = transcript.obstacle {
            return Err(obstacle);
        }
        if transcript.finished {
            return Ok(Next::End(Bytes::from_static(b"data: [DONE]\n\n")));
        }
        let request = Request::read(body)?;
        if let Some(obstacle) = request.obstacle(!transcript.content.text.is_empty()) {
            return Err(obstacle);
        }
        if request.begun().is_some_and(|begun| begun.texts().is_none()) {
            return Err(Outcome::Unreadable);
        }
        if limits(&request).any(|(_, most)| most <= transcript.tokens()) {
            let end = transcript.identity.clone().unwrap_or_default().end("length");
            return Ok(Next::End(end));
        }
        let stops = request.stops();
        let resumption = Self { endpoint, body: body.clone(), transcript: transcript.clone(), stops };
        Ok(Next::Ask(Box::new(resumption)))
    }

    /// Whether a server of this kind can go on with it.
    pub fn is_for(&self, flavor: Flavor) -> bool {
        let Transcript { content, reasoning, .. } = &self.transcript;
        let nothing_said = content.text.is_empty() && reasoning.text.is_empty();
        match flavor {
            Flavor::DeepSeek | Flavor::SGLang => true,
            Flavor::VLLM => nothing_said || !content.text.is_empty(),
            Flavor::OpenAI | Flavor::Ollama | Flavor::Azure | Flavor::SiliconFlow => nothing_said,
        }
    }

    /// What a server of this kind is asked; `None` where it cannot go on.
    pub fn request(&self, flavor: Flavor) -> Option<Continuation> {
        let Transcript { content, reasoning, .. } = &self.transcript;
        if !self.is_for(flavor) {
            return None;
        }
        if content.text.is_empty() && reasoning.text.is_empty() {
            let (endpoint, body) = (self.endpoint, self.body.clone());
            return Some(Continuation { endpoint, body, in_prompt: 0, believes_silence: true });
        }
        let request = Request::read(&self.body).ok()?;
        let mut writer = Writer { body: &self.body, request: &request, edits: Edits::default() };
        writer.shorten(self.transcript.tokens());
        let (endpoint, in_prompt) = match flavor {
            Flavor::DeepSeek => {
                writer.message(&content.text, &reasoning.text, true)?;
                (Endpoint::BetaChat, self.transcript.tokens())
            }
            Flavor::SGLang if !reasoning.text.is_empty() => {
                let end = if content.text.is_empty() { "" } else { "</think>" };
                writer.marked(&content.text, &reasoning.text, end)?;
                writer.go_on(true);
                (Endpoint::Chat, self.transcript.tokens())
            }
            _ => {
                writer.message(&content.text, "", false)?;
                writer.go_on(false);
                (Endpoint::Chat, content.tokens())
            }
        };
        let body = writer.edits.apply(&self.body);
        // vLLM's own encoders of DeepSeek's later models have long ignored `continue_final_message`, and then say
        // nothing: that is no proof that nothing was left to say.
        Some(Continuation { endpoint, body, in_prompt, believes_silence: flavor != Flavor::VLLM })
    }

    /// What makes that server's answer go on as the one the client has begun to read.
    pub fn stitch(&self, continuation: &Continuation) -> Stitch {
        Stitch::new(&self.transcript, continuation.in_prompt, &self.stops, continuation.believes_silence)
    }
}

/// The limits of the answer that a request sets.
fn limits<'a>(request: &Request<'a>) -> impl Iterator<Item = (&'a RawValue, u64)> {
    let limits = [request.max_tokens, request.max_completion_tokens].into_iter().flatten();
    limits.filter_map(|value| Some((value, value.get().parse().ok()?)))
}

/// Notes the changes to a body.
struct Writer<'a> {
    body: &'a [u8],
    request: &'a Request<'a>,
    edits: Edits<'a>,
}

impl Writer<'_> {
    /// Takes what has been said off the limits.
    fn shorten(&mut self, said: u64) {
        for (value, most) in limits(self.request) {
            self.edits.replace(place(self.body, value.get()), most.saturating_sub(said).max(1).to_string());
        }
    }

    /// Makes the last message hold the answer so far: the caller's own beginning of it, or one more message.
    fn message(&mut self, content: &str, reasoning: &str, prefix: bool) -> Option<()> {
        let last = self.request.messages.last()?;
        let Some(begun) = self.request.begun() else {
            let mut message = format!(r#",{{"role":"assistant","content":"{}""#, escaped(content));
            if !reasoning.is_empty() {
                let _ = write!(message, r#","reasoning_content":"{}""#, escaped(reasoning));
            }
            message += if prefix { r#","prefix":true}"# } else { "}" };
            self.edits.insert(place(self.body, last.get()).end, message);
            return Some(());
        };
        let (own_content, own_reasoning) = begun.texts()?;
        let start = place(self.body, last.get()).start;
        self.put(start, "content", begun.content, quoted(&[&own_content, content]));
        if prefix && !(own_reasoning.is_empty() && reasoning.is_empty()) {
            let both = quoted(&[&own_reasoning, reasoning]);
            self.put(start, "reasoning_content", begun.reasoning_content, both);
        }
        if prefix || begun.prefix.is_some() {
            self.put(start, "prefix", begun.prefix, prefix.to_string());
        }
        Some(())
    }

    /// The same, with the reasoning in front of the content.
    fn marked(&mut self, content: &str, reasoning: &str, end: &str) -> Option<()> {
        let own: Option<Begun<'_>> = self.request.begun();
        let Some(begun) = own else {
            return self.message(&format!("{reasoning}{end}{content}"), "", false);
        };
        let (own_content, own_reasoning) = begun.texts()?;
        let end = if own_content.is_empty() { end } else { "</think>" };
        let start = place(self.body, self.request.messages.last()?.get()).start;
        let whole = quoted(&[&own_reasoning, reasoning, end, &own_content, content]);
        self.put(start, "content", begun.content, whole);
        self.put(start, "prefix", begun.prefix, "false".into());
        Some(())
    }

    /// Tells vLLM and SGLang to go on with the last message, and whether that is in the middle of thinking.
    fn go_on(&mut self, thinking: bool) {
        let request = self.request;
        let start = self.body.iter().position(|byte| *byte == b'{').unwrap_or(0);
        self.put(start, "continue_final_message", request.continue_final_message, "true".into());
        self.put(start, "add_generation_prompt", request.add_generation_prompt, "false".into());
        if request.thinking.is_some() {
            let kind = if thinking { r#"{"type":"enabled"}"# } else { r#"{"type":"disabled"}"# };
            self.put(start, "thinking", request.thinking, kind.into());
        }
        let arguments = request.chat_template_kwargs;
        let known = arguments.and_then(|a| serde_json::from_str::<BTreeMap<&str, &RawValue>>(a.get()).ok());
        let (Some(arguments), Some(known)) = (arguments, known.filter(|known| !known.is_empty())) else {
            let both = format!(r#"{{"thinking":{thinking},"enable_thinking":{thinking}}}"#);
            self.put(start, "chat_template_kwargs", arguments, both);
            return;
        };
        let start = place(self.body, arguments.get()).start;
        for name in ["thinking", "enable_thinking"] {
            self.put(start, name, known.get(name).copied(), thinking.to_string());
        }
    }

    /// Sets a field of the object that starts at `object`.
    fn put(&mut self, object: usize, field: &str, present: Option<&RawValue>, value: String) {
        match present {
            Some(present) => self.edits.replace(place(self.body, present.get()), value),
            None => self.edits.insert(object + 1, format!("\"{field}\":{value},")),
        }
    }
}

/// The texts, one after the other, as a JSON string.
fn quoted(texts: &[&str]) -> String {
    format!("\"{}\"", escaped(&texts.concat()))
}

#[cfg(test)]
#[path = "continuation_tests.rs"]
mod tests;
