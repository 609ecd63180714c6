//! Thinking: the four ways in which servers are told whether and how hard to think.
//!
//! DeepSeek's `thinking`, `chat_template_kwargs` of vLLM and SGLang, `enable_thinking` of SiliconFlow, and
//! `reasoning_effort` alone of OpenAI, Azure and Ollama. A client may speak any of them.

use super::Unfit;
use super::object::{Edit, Object};
use deepseek_crds::v1alpha1::Flavor;

/// What DeepSeek takes where thinking is on and no effort is named.
const USUAL_EFFORT: &str = "high";
const TEMPLATE: &str = "chat_template_kwargs";

/// What a request says of thinking.
pub struct Wish<'a> {
    /// Whether to think; `None` where it says nothing.
    pub thinks: Option<bool>,
    /// How hard; `none` is a word for not thinking.
    effort: Option<&'a str>,
    template: Option<Object<'a>>,
}

impl<'a> Wish<'a> {
    /// Reads it. Of several ways DeepSeek's counts.
    pub fn of(body: &'a [u8], top: &Object<'a>) -> Result<Self, Unfit> {
        let effort = top.text("reasoning_effort");
        let template = match top.given(TEMPLATE) {
            Some(value) => Some(Object::at(body, value).ok_or(Unfit { field: TEMPLATE })?),
            None => None,
        };
        let own = match top.given("thinking") {
            Some(value) => {
                let thinking = Object::at(body, value).ok_or(Unfit { field: "thinking" })?;
                // DeepSeek takes `budget_tokens` and does nothing about it.
                if !thinking.holds_only(&["type", "budget_tokens"]) {
                    return Err(Unfit { field: "thinking" });
                }
                match thinking.text("type") {
                    Some("enabled" | "adaptive") => Some(true),
                    Some("disabled") => Some(false),
                    _ => return Err(Unfit { field: "thinking" }),
                }
            }
            None => None,
        };
        let in_template = template.as_ref().and_then(|t| flag(t, "thinking").or(flag(t, "enable_thinking")));
        let thinks = own
            .or(in_template)
            .or_else(|| flag(top, "enable_thinking"))
            .or_else(|| (effort == Some("none")).then_some(false));
        Ok(Self { thinks, effort, template })
    }

    /// Whether DeepSeek would think.
    pub fn thinks(&self) -> bool {
        self.thinks.unwrap_or(true)
    }

    /// Whether the template is told more than whether to think, which only a server with templates understands.
    fn tells_template_more(&self) -> bool {
        self.template.as_ref().is_some_and(|template| !template.holds_only(&["thinking", "enable_thinking"]))
    }
}

fn flag(object: &Object<'_>, name: &str) -> Option<bool> {
    match object.get(name)?.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Says the wish in the words of `flavor`.
pub fn tell(flavor: Flavor, top: &Object<'_>, wish: &Wish<'_>, edit: &mut Edit<'_, '_>) -> Result<(), Unfit> {
    let has_template = matches!(flavor, Flavor::VLLM | Flavor::SGLang);
    if !has_template {
        if wish.tells_template_more() {
            return Err(Unfit { field: TEMPLATE });
        }
        edit.remove(TEMPLATE);
    }
    if flavor != Flavor::DeepSeek {
        edit.remove("thinking");
    }
    if flavor != Flavor::SiliconFlow {
        edit.remove("enable_thinking");
    }
    match flavor {
        Flavor::DeepSeek => to_deepseek(top, wish, edit),
        Flavor::VLLM | Flavor::SGLang => {
            in_template(wish, edit);
            effort(flavor, wish, edit);
        }
        Flavor::SiliconFlow => {
            edit.set("enable_thinking", word(wish.thinks()));
            effort(flavor, wish, edit);
        }
        Flavor::OpenAI | Flavor::Azure | Flavor::Ollama => match wish.thinks {
            Some(false) => edit.set("reasoning_effort", "\"none\""),
            Some(true) if wish.effort.is_none_or(|effort| effort == "none") => {
                edit.set("reasoning_effort", &format!("\"{USUAL_EFFORT}\""));
            }
            // Where nothing is asked, these think as the model does; the models that cannot refuse the field.
            _ => effort(flavor, wish, edit),
        },
    }
    Ok(())
}

fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

fn to_deepseek(top: &Object<'_>, wish: &Wish<'_>, edit: &mut Edit<'_, '_>) {
    if wish.effort == Some("none") {
        edit.remove("reasoning_effort");
    }
    if let (Some(thinks), None) = (wish.thinks, top.given("thinking")) {
        let kind = if thinks { "enabled" } else { "disabled" };
        edit.set("thinking", &format!(r#"{{"type":"{kind}"}}"#));
    }
}

fn in_template(wish: &Wish<'_>, edit: &mut Edit<'_, '_>) {
    let thinks = word(wish.thinks());
    match &wish.template {
        Some(template) => {
            let mut inner = Edit::new(template);
            inner.set("thinking", thinks);
            edit.extend(inner.finish());
        }
        None => edit.set(TEMPLATE, &format!(r#"{{"thinking":{thinks}}}"#)),
    }
}

/// The effort in a word that the server knows: the nearest one, as DeepSeek does it with the words that it knows.
fn effort(flavor: Flavor, wish: &Wish<'_>, edit: &mut Edit<'_, '_>) {
    let Some(asked) = wish.effort else { return };
    if asked == "none" {
        // Said in another way.
        edit.remove("reasoning_effort");
        return;
    }
    let known = match (flavor, asked) {
        (Flavor::SiliconFlow, _) | (Flavor::OpenAI | Flavor::Azure, "minimal" | "xhigh") => asked,
        (_, "minimal") => "low",
        (_, "xhigh" | "max" | "ultra") => "high",
        _ => asked,
    };
    if known != asked {
        edit.set("reasoning_effort", &format!("\"{known}\""));
    }
}
