//! An answer that was begun elsewhere: how a request says so to each server, and what is left to say.
//!
//! DeepSeek's beta takes an assistant's message with `prefix: true`, its `reasoning_content` included; vLLM and SGLang
//! take `continue_final_message`, and the reasoning so far in its own field or between `<think>` marks in the content.
//! SGLang, where it thinks, puts the opening mark there itself: what comes before the closing one is reasoning.
//! Servers that cannot go on begin anew: whoever believed otherwise gets the text twice.

use crate::{flavor::Flavor, pieces::Pieces, request::ChatRequest, request::Message};

/// What was said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) reasoning: String,
    pub(crate) content: String,
}

impl Begun {
    /// What the request wants to be gone on from, if it does and this server can.
    pub(crate) fn of(request: &ChatRequest, thinking: bool, flavor: Flavor) -> Option<Self> {
        let Some(Message::Assistant { content, reasoning_content, reasoning, prefix, tool_calls: None }) =
            request.messages.last()
        else {
            return None;
        };
        let goes_on = match flavor {
            Flavor::DeepSeek => *prefix,
            Flavor::Vllm | Flavor::SgLang => request.continue_final_message == Some(true),
            Flavor::OpenAi | Flavor::Ollama | Flavor::SiliconFlow | Flavor::Azure => false,
        };
        let content = content.as_ref().map_or("", |content| content.text.as_str());
        let own_field = reasoning_content.as_ref().or(reasoning.as_ref());
        let opened = (flavor == Flavor::SgLang && thinking).then_some(content);
        let (reasoning, content) = match (own_field, content.strip_prefix("<think>").or(opened)) {
            (Some(reasoning), _) => (reasoning.as_str(), content),
            (None, Some(marked)) => marked.split_once("</think>").unwrap_or((marked, "")),
            (None, None) => ("", content),
        };
        goes_on
            .then(|| Self { reasoning: reasoning.trim_start_matches('\n').into(), content: content.into() })
    }

    /// What is left of the reasoning; nothing, once the content has begun.
    pub(crate) fn rest_of_reasoning(&self, whole: Pieces) -> Pieces {
        match (self.content.is_empty(), self.reasoning.is_empty()) {
            (true, true) => whole,
            (true, false) => rest(&whole.text(), &self.reasoning),
            (false, _) => Pieces::default(),
        }
    }

    /// What is left of the content.
    pub(crate) fn rest_of_content(&self, whole: Pieces) -> Pieces {
        if self.content.is_empty() || whole.len() == 0 { whole } else { rest(&whole.text(), &self.content) }
    }
}

/// The rest of `whole` after `begun`, whoever began it: the name in brackets is not compared. A beginning that this
/// server would not have said is followed by all of it.
fn rest(whole: &str, begun: &str) -> Pieces {
    let rest = match (named(whole), named(begun)) {
        (Some(whole), Some(begun)) => whole.strip_prefix(begun),
        // Cut within the name: what is left of it are the words that were not said.
        (Some(_), None) if begun.starts_with('[') => {
            whole.match_indices(' ').nth(begun.matches(' ').count()).map(|(at, _)| &whole[at..])
        }
        _ => whole.strip_prefix(begun),
    };
    Pieces::words(&rest.map_or_else(|| format!(" {whole}"), str::to_owned))
}

/// What follows the name in brackets, if there is one.
fn named(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.split_once(']').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse;

    fn begun(last: &str, more: &str, flavor: Flavor) -> Option<Begun> {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}},{{"role":"assistant",{last}}}]{more}}}"#
        );
        Begun::of(&parse(body.as_bytes()).unwrap(), false, flavor)
    }

    #[test]
    fn each_server_is_told_in_its_own_way() {
        let wanted = Some(Begun { reasoning: String::new(), content: "so far".into() });
        assert_eq!(begun(r#""content":"so far","prefix":true"#, "", Flavor::DeepSeek), wanted);
        assert_eq!(begun(r#""content":"so far""#, r#","continue_final_message":true"#, Flavor::Vllm), wanted);
        assert_eq!(
            begun(r#""content":"so far""#, r#","continue_final_message":true"#, Flavor::SgLang),
            wanted
        );
        assert_eq!(begun(r#""content":"so far""#, "", Flavor::Vllm), None);
        assert_eq!(begun(r#""content":"so far","prefix":true"#, "", Flavor::OpenAi), None);
    }

    #[test]
    fn reasoning_so_far_is_in_its_field_or_between_marks() {
        let thinking = Some(Begun { reasoning: "hm".into(), content: String::new() });
        let more = r#","continue_final_message":true"#;
        assert_eq!(
            begun(r#""content":"","reasoning_content":"hm","prefix":true"#, "", Flavor::DeepSeek),
            thinking
        );
        assert_eq!(begun(r#""content":"<think>\nhm""#, more, Flavor::Vllm), thinking);
        assert_eq!(begun(r#""content":null,"reasoning":"hm""#, more, Flavor::Vllm), thinking);
        let said = Some(Begun { reasoning: "hm".into(), content: "so".into() });
        assert_eq!(begun(r#""content":"<think>hm</think>so""#, more, Flavor::SgLang), said);
    }

    #[test]
    fn sglang_opens_the_reasoning_itself() {
        let begun = |content: &str| {
            let body = format!(
                r#"{{"model":"m","messages":[{{"role":"assistant","content":"{content}"}}],"continue_final_message":true}}"#
            );
            Begun::of(&parse(body.as_bytes()).unwrap(), true, Flavor::SgLang).unwrap()
        };
        assert_eq!(begun("hm"), Begun { reasoning: "hm".into(), content: String::new() });
        assert_eq!(begun("hm</think>so"), Begun { reasoning: "hm".into(), content: "so".into() });
    }

    #[test]
    fn what_another_began_is_gone_on_and_what_nobody_said_is_followed_by_all() {
        let whole = || Pieces::words("[b m] You said: hello");
        let go_on = |content: &str| Begun { reasoning: String::new(), content: content.into() };
        assert_eq!(go_on("[a n] You said:").rest_of_content(whole()).text(), " hello");
        assert_eq!(go_on("[a n]").rest_of_content(whole()).text(), " You said: hello");
        assert_eq!(go_on("[a").rest_of_content(whole()).text(), " m] You said: hello");
        assert_eq!(go_on("Nobody").rest_of_content(whole()).text(), " [b m] You said: hello");
        assert_eq!(go_on("").rest_of_content(whole()).text(), "[b m] You said: hello");
    }
}
