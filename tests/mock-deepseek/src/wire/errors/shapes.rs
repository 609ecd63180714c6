//! How each server wraps a refusal: DeepSeek's and OpenAI's envelope, and what others make of it.

use serde::Serialize;

use super::{ErrorKind, Refusal};
use crate::{
    flavor::Flavor,
    wire::object::{NULL, object},
};

/// The refusal as JSON.
pub(super) fn json(refusal: &Refusal, flavor: Flavor) -> String {
    let (message, kind_type) = (&refusal.message, refusal.kind.kind_type());
    match flavor {
        Flavor::DeepSeek => envelope(message, kind_type, "invalid_request_error"),
        Flavor::OpenAi => envelope(message, kind_type, NULL),
        Flavor::Ollama => envelope(message, ollama_type(refusal), NULL),
        // The one error that vLLM's own middleware says, and not its server.
        Flavor::Vllm if refusal.kind.is_for_the_key() => object! {"error": "Unauthorized"}.to_text(),
        Flavor::Vllm => envelope(message, class(refusal), refusal.status.as_u16()),
        Flavor::SgLang => flat(refusal).to_text(),
        Flavor::SiliconFlow => siliconflow(refusal),
        Flavor::Azure => azure(refusal),
    }
}

/// The refusal as the data of a frame.
pub(super) fn frame(refusal: &Refusal, flavor: Flavor) -> String {
    match flavor {
        Flavor::SgLang => object! {"error": flat(refusal)}.to_text(),
        _ => json(refusal, flavor),
    }
}

fn envelope(message: &str, kind_type: &str, code: impl Serialize) -> String {
    let error = object! {"message": message, "type": kind_type, "param": NULL, "code": code};
    object! {"error": error}.to_text()
}

fn flat(refusal: &Refusal) -> crate::wire::object::Object {
    object! {
        "object": "error", "message": refusal.message, "type": class(refusal), "param": NULL,
        "code": refusal.status.as_u16(),
    }
}

/// vLLM and SGLang name the class of the exception.
fn class(refusal: &Refusal) -> &'static str {
    match refusal.status.as_u16() {
        401 | 403 => "AuthenticationError",
        404 => "NotFoundError",
        429 => "RateLimitError",
        400..=499 => "BadRequestError",
        503 => "ServiceUnavailableError",
        _ => "InternalServerError",
    }
}

fn ollama_type(refusal: &Refusal) -> &'static str {
    match refusal.status.as_u16() {
        404 => "not_found_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// A number of its own for each cause, and no envelope; a wrong key is told in a bare string.
fn siliconflow(refusal: &Refusal) -> String {
    let code = match refusal.kind {
        ErrorKind::Auth | ErrorKind::AuthFormat => return "\"Invalid token\"".to_owned(),
        ErrorKind::RateLimit | ErrorKind::Concurrency | ErrorKind::UserConcurrency => {
            return object! {"message": refusal.message, "data": NULL}.to_text();
        }
        ErrorKind::Model => 20012,
        ErrorKind::Balance => 30001,
        ErrorKind::Overloaded => 50505,
        _ if refusal.status.is_server_error() => 50000,
        _ => 20015,
    };
    object! {"code": code, "message": refusal.message, "data": NULL}.to_text()
}

/// The status as text for a code; a filtered prompt says more.
fn azure(refusal: &Refusal) -> String {
    if refusal.kind == ErrorKind::ContentRisk {
        let result = object! {"violence": object! {"filtered": true, "severity": "medium"}};
        let inner = object! {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result};
        let error = object! {
            "message": refusal.message, "type": NULL, "param": "prompt", "code": "content_filter", "status": 400,
            "innererror": inner,
        };
        return object! {"error": error}.to_text();
    }
    let code = match refusal.kind {
        ErrorKind::Model => "DeploymentNotFound".to_owned(),
        _ => refusal.status.as_u16().to_string(),
    };
    object! {"error": object! {"code": code, "message": refusal.message}}.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ErrorKind, flavor: Flavor) -> String {
        json(&Refusal::of(kind), flavor)
    }

    #[test]
    fn sglang_errors_are_flat_and_in_an_envelope_only_in_a_frame() {
        assert!(of(ErrorKind::Server, Flavor::SgLang).starts_with(r#"{"object":"error","message":"#));
        let framed = frame(&Refusal::of(ErrorKind::Server), Flavor::SgLang);
        assert!(framed.starts_with(r#"{"error":{"object":"error","#), "{framed}");
    }

    #[test]
    fn vllm_codes_are_numbers_and_a_wrong_key_is_a_bare_word() {
        assert!(of(ErrorKind::Server, Flavor::Vllm).ends_with(r#""code":500}}"#));
        assert_eq!(of(ErrorKind::Auth, Flavor::Vllm), r#"{"error":"Unauthorized"}"#);
    }

    #[test]
    fn siliconflow_has_numbers_of_its_own() {
        assert!(of(ErrorKind::Model, Flavor::SiliconFlow).starts_with(r#"{"code":20012,"#));
        assert!(of(ErrorKind::Balance, Flavor::SiliconFlow).starts_with(r#"{"code":30001,"#));
        assert!(of(ErrorKind::RateLimit, Flavor::SiliconFlow).starts_with(r#"{"message":"#));
        assert_eq!(of(ErrorKind::Auth, Flavor::SiliconFlow), r#""Invalid token""#);
    }

    #[test]
    fn azure_and_ollama_name_their_causes() {
        assert!(of(ErrorKind::ContentRisk, Flavor::Azure).contains("ResponsibleAIPolicyViolation"));
        assert!(of(ErrorKind::RateLimit, Flavor::Azure).starts_with(r#"{"error":{"code":"429","#));
        assert!(of(ErrorKind::Server, Flavor::Ollama).contains("api_error"));
        assert!(of(ErrorKind::BadRequest, Flavor::Ollama).contains("invalid_request_error"));
    }
}
