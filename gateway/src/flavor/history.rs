//! The conversation so far: names of roles, where reasoning stands, and a beginning to go on from.
//!
//! DeepSeek refuses a conversation with tools at hand in which a turn of the assistant lacks its reasoning: turns of
//! another server, or of a client that dropped it, get a blank, which is the least that it takes.

use super::Unfit;
use super::object::{Edit, Object};
use super::thinking::Wish;
use deepseek_crds::v1alpha1::Flavor;
use serde_json::value::RawValue;

const NO_REASONING: &str = "\" \"";
const DEEPSEEKS: &str = "reasoning_content";
const OTHERS: &str = "reasoning";

/// Fits all messages; a beginning to go on from changes the request as well. Returns whether there is one.
pub fn fit(
    flavor: Flavor,
    body: &[u8],
    top: &Object<'_>,
    wish: &Wish<'_>,
    edit: &mut Edit<'_, '_>,
) -> Result<bool, Unfit> {
    let messages = top.given("messages").map_or("[]", RawValue::get);
    // What is no list of objects is for the server to refuse.
    let Ok(messages) = serde_json::from_str::<Vec<&RawValue>>(messages) else { return Ok(false) };
    let has_tools = top.given("tools").is_some_and(|tools| !is_empty(tools));
    let bring_reasoning = flavor == Flavor::DeepSeek && has_tools && wish.thinks();
    let last = messages.len().saturating_sub(1);
    let mut is_begun = false;
    for (at, message) in messages.into_iter().enumerate() {
        let Some(message) = Object::at(body, message) else { continue };
        let mut inner = Edit::new(&message);
        match message.text("role") {
            Some("developer") if !matches!(flavor, Flavor::OpenAI | Flavor::Azure) => {
                inner.set("role", "\"system\"");
            }
            Some("assistant") => {
                let prefix = message.get("prefix").is_some_and(|prefix| prefix.get() == "true");
                reasoning(flavor, &message, bring_reasoning && !prefix, &mut inner);
                is_begun |= prefix && at == last;
                if flavor != Flavor::DeepSeek {
                    inner.remove("prefix");
                    if prefix && at == last {
                        go_on(flavor, edit)?;
                    }
                }
            }
            _ => {}
        }
        edit.extend(inner.finish());
    }
    Ok(is_begun)
}

fn is_empty(list: &RawValue) -> bool {
    list.get().strip_prefix('[').is_some_and(|items| items.trim_start().starts_with(']'))
}

fn reasoning(flavor: Flavor, message: &Object<'_>, needed: bool, inner: &mut Edit<'_, '_>) {
    let (wanted, other) = match flavor {
        Flavor::VLLM | Flavor::Ollama => (OTHERS, DEEPSEEKS),
        Flavor::DeepSeek | Flavor::OpenAI | Flavor::SGLang | Flavor::Azure | Flavor::SiliconFlow => {
            (DEEPSEEKS, OTHERS)
        }
    };
    let holds = |name: &str| message.given(name).is_some_and(|value| value.get() != "\"\"");
    if holds(wanted) {
        return;
    }
    if holds(other) {
        inner.remove(wanted);
        inner.rename(other, wanted);
    } else if needed {
        inner.set(wanted, NO_REASONING);
    }
}

/// Gives the reasoning of a message in an answer the name that DeepSeek has for it, empty or `null` as it may be. Where a
/// server says it by both names nothing is missing.
pub fn name_reasoning(message: &Object<'_>, edit: &mut Edit<'_, '_>) {
    if message.get(OTHERS).is_none() || message.given(DEEPSEEKS).is_some_and(|own| own.get() != "\"\"") {
        return;
    }
    edit.remove(DEEPSEEKS);
    edit.rename(OTHERS, DEEPSEEKS);
}

/// The last message is the beginning of the answer.
fn go_on(flavor: Flavor, edit: &mut Edit<'_, '_>) -> Result<(), Unfit> {
    match flavor {
        Flavor::VLLM | Flavor::SGLang => {
            edit.set("continue_final_message", "true");
            edit.set("add_generation_prompt", "false");
            Ok(())
        }
        Flavor::DeepSeek => Ok(()),
        Flavor::OpenAI | Flavor::Ollama | Flavor::Azure | Flavor::SiliconFlow => {
            Err(Unfit { field: "messages.prefix" })
        }
    }
}
