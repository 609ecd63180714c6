//! What a server would leave out without a word, although the answer would be another: refused, so that a server which
//! carries it is asked. What a server refuses by itself is left to it.

use super::Unfit;
use super::object::{Edit, Object};
use deepseek_crds::v1alpha1::Flavor;
use serde_json::value::RawValue;

/// Forms that an answer is held to, beside `response_format`: fields of vLLM, and of SGLang.
const VLLMS_FORMS: [&str; 5] =
    ["structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"];
const SGLANGS_FORMS: [&str; 2] = ["regex", "ebnf"];
/// The last message is the beginning of the answer, as vLLM and SGLang are told.
const GOES_ON: &str = "continue_final_message";

/// Whether a server of kind `flavor` would leave out a field that decides what the answer is.
pub fn check(flavor: Flavor, top: &Object<'_>) -> Result<(), Unfit> {
    let ignored = [(Flavor::VLLM, &VLLMS_FORMS[..]), (Flavor::SGLang, &SGLANGS_FORMS[..])];
    let ignored = ignored.into_iter().filter(|(knows, _)| *knows != flavor).flat_map(|(_, fields)| fields);
    if let Some(field) = ignored.copied().find(|field| top.given(field).is_some()) {
        return Err(Unfit { field });
    }
    if flavor != Flavor::Ollama {
        return Ok(());
    }
    let has_tools = top.given("tools").is_some_and(|tools| tools.get() != "[]");
    if has_tools && top.given("tool_choice").is_some_and(|choice| choice.get() != "\"auto\"") {
        return Err(Unfit { field: "tool_choice" });
    }
    match top.given("n").map(RawValue::get) {
        None | Some("1") => Ok(()),
        Some(_) => Err(Unfit { field: "n" }),
    }
}

/// Says it to OpenAI, who refuses fields that it does not know, in its own words.
pub fn end_user(flavor: Flavor, top: &Object<'_>, edit: &mut Edit<'_, '_>) {
    if !matches!(flavor, Flavor::OpenAI | Flavor::Azure) || top.get("user_id").is_none() {
        return;
    }
    if top.given("user").is_some() {
        edit.remove("user_id");
    } else {
        edit.remove("user");
        edit.rename("user_id", "user");
    }
}

/// A beginning that vLLM and SGLang would go on from; `is_prefix` says whether DeepSeek is told so in its own way.
pub fn beginning(
    flavor: Flavor,
    is_prefix: bool,
    top: &Object<'_>,
    edit: &mut Edit<'_, '_>,
) -> Result<(), Unfit> {
    if matches!(flavor, Flavor::VLLM | Flavor::SGLang) {
        return Ok(());
    }
    if top.get(GOES_ON).is_some_and(|goes_on| goes_on.get() == "true") && !is_prefix {
        return Err(Unfit { field: GOES_ON });
    }
    edit.remove(GOES_ON);
    edit.remove("add_generation_prompt");
    Ok(())
}
