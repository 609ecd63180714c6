//! Usage: asked for where a server tells it only on request, so that every stream is metered by what it cost.

use super::object::{Edit, Object};
use deepseek_crds::v1alpha1::Flavor;

/// Whether a stream of such a server tells its usage only on request, in a chunk of its own.
pub fn is_on_request(flavor: Flavor) -> bool {
    match flavor {
        Flavor::DeepSeek | Flavor::SiliconFlow => false,
        Flavor::OpenAI | Flavor::VLLM | Flavor::SGLang | Flavor::Ollama | Flavor::Azure => true,
    }
}

/// The client's options, and whether they ask for it.
fn asked<'a>(body: &'a [u8], top: &Object<'a>) -> (Option<Object<'a>>, bool) {
    let options = top.given("stream_options").and_then(|value| Object::at(body, value));
    let asks = options.as_ref().and_then(|options| options.get("include_usage"));
    let asks = asks.is_some_and(|value| value.get() == "true");
    (options, asks)
}

/// Whether the client asks for it itself.
pub fn is_asked_for(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"include_usage").is_some()
        && Object::of(body).is_some_and(|top| asked(body, &top).1)
}

/// Asks for it.
pub fn ask(flavor: Flavor, body: &[u8], top: &Object<'_>, edit: &mut Edit<'_, '_>) {
    if !is_on_request(flavor) {
        return;
    }
    match asked(body, top) {
        (_, true) => {}
        (Some(options), false) => {
            let mut inner = Edit::new(&options);
            inner.set("include_usage", "true");
            edit.extend(inner.finish());
        }
        (None, false) => edit.set("stream_options", r#"{"include_usage":true}"#),
    }
}
