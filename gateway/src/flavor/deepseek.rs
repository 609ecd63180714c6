//! Towards DeepSeek: whether a body can hold anything that it has other words for.

use memchr::memmem::Finder;
use std::sync::LazyLock;

/// What the bytes of a body hold that needs a closer look. A body in DeepSeek's own dialect passes unlooked at.
static SIGNS: LazyLock<[Finder<'static>; 12]> = LazyLock::new(|| {
    [
        Finder::new("\"developer\""),
        Finder::new("\"max_completion_tokens\""),
        Finder::new("\"chat_template_kwargs\""),
        Finder::new("\"enable_thinking\""),
        Finder::new("\"reasoning\""),
        Finder::new("\"none\""),
        // What it would leave out.
        Finder::new("\"guided_"),
        Finder::new("\"structured_outputs\""),
        Finder::new("\"regex\""),
        Finder::new("\"ebnf\""),
        Finder::new("\"continue_final_message\""),
        // Turns of an assistant with tools at hand have to bring their reasoning.
        Finder::new("\"tools\""),
    ]
});

/// Whether anything may have to be said in another way.
pub fn may_differ(body: &[u8]) -> bool {
    SIGNS.iter().any(|sign| sign.find(body).is_some())
}
