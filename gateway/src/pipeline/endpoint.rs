//! The API's endpoints: which paths lead to them, and where each kind of server has them.

use super::error::{Code, GatewayError};
use deepseek_crds::v1alpha1::Flavor;
use http::{HeaderMap, HeaderValue, Method, header};

/// What a client may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /chat/completions`
    Chat,
    /// `POST /beta/chat/completions`: chat with a prefix to continue, strict tools.
    BetaChat,
    /// `POST /completions`: text and fill-in-the-middle.
    Completions,
    /// `POST /embeddings`
    Embeddings,
    /// `POST /anthropic/v1/messages`
    Messages,
    /// `POST /responses`
    Responses,
    /// `GET /models`: answered by the gateway itself.
    Models,
}

/// How the end of a well-formed stream looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// `data: [DONE]`
    Done,
    /// An event of this name.
    Event(&'static [&'static str]),
}

impl Endpoint {
    /// Endpoints that are sent to a backend.
    pub const UPSTREAM: [Self; 6] =
        [Self::Chat, Self::BetaChat, Self::Completions, Self::Embeddings, Self::Messages, Self::Responses];

    /// The endpoint behind a path; `/v1` is an accepted alias everywhere, as with DeepSeek.
    pub fn find(method: &Method, path: &str) -> Result<Self, GatewayError> {
        let endpoint = match path {
            "/v1/chat/completions" | "/chat/completions" => Self::Chat,
            "/beta/chat/completions" | "/beta/v1/chat/completions" => Self::BetaChat,
            "/v1/completions" | "/completions" | "/beta/completions" | "/beta/v1/completions" => {
                Self::Completions
            }
            "/v1/embeddings" | "/embeddings" => Self::Embeddings,
            "/anthropic/v1/messages" | "/anthropic/messages" | "/v1/messages" => Self::Messages,
            "/v1/responses" | "/responses" => Self::Responses,
            "/v1/models" | "/models" => Self::Models,
            _ => {
                return Err(GatewayError::new(
                    Code::UnknownUrl,
                    "Unknown request URL. Chat is at POST /v1/chat/completions; GET /v1/models lists the models.",
                ));
            }
        };
        let wanted = if endpoint == Self::Models { Method::GET } else { Method::POST };
        if *method == wanted {
            return Ok(endpoint);
        }
        let mut error = GatewayError::new(Code::MethodNotAllowed, format!("This URL takes {wanted} only."));
        let allow = HeaderValue::from_static(if endpoint == Self::Models { "GET" } else { "POST" });
        error.headers = Some(Box::new(HeaderMap::from_iter([(header::ALLOW, allow)])));
        Err(error)
    }

    /// Low-cardinality name for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::BetaChat => "beta_chat",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Models => "models",
        }
    }

    /// Where a server of kind `flavor` with base URL path `base` has this endpoint; `None` where it has not.
    pub fn upstream_path(self, flavor: Flavor, base: &str) -> Option<String> {
        if flavor == Flavor::DeepSeek {
            // DeepSeek's `/v1` and `/beta` are prefixes of single endpoints, not of the API.
            let base = ["/v1", "/beta"].iter().find_map(|p| base.strip_suffix(p)).unwrap_or(base);
            let path = match self {
                Self::Chat => "/chat/completions",
                Self::BetaChat => "/beta/chat/completions",
                Self::Completions => "/beta/completions",
                Self::Messages => "/anthropic/v1/messages",
                Self::Responses => "/responses",
                Self::Embeddings | Self::Models => return None,
            };
            return Some(format!("{base}{path}"));
        }
        let path = match self {
            Self::Chat => "/chat/completions",
            // These go on from a beginning without a path of its own.
            Self::BetaChat if matches!(flavor, Flavor::VLLM | Flavor::SGLang) => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Responses if matches!(flavor, Flavor::OpenAI | Flavor::VLLM | Flavor::Azure) => {
                "/responses"
            }
            Self::BetaChat | Self::Messages | Self::Responses | Self::Models => return None,
        };
        Some(format!("{base}{path}"))
    }

    /// How a stream of this endpoint ends when nothing broke.
    pub fn stream_end(self) -> StreamEnd {
        match self {
            Self::Messages => StreamEnd::Event(&["message_stop", "error"]),
            Self::Responses => {
                StreamEnd::Event(&["response.completed", "response.incomplete", "response.failed", "error"])
            }
            _ => StreamEnd::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepseek_paths_do_not_depend_on_how_the_base_url_ends() {
        for base in ["", "/v1", "/beta"] {
            assert_eq!(
                Endpoint::Chat.upstream_path(Flavor::DeepSeek, base).as_deref(),
                Some("/chat/completions")
            );
            assert_eq!(
                Endpoint::Completions.upstream_path(Flavor::DeepSeek, base).as_deref(),
                Some("/beta/completions")
            );
        }
        assert_eq!(Endpoint::Embeddings.upstream_path(Flavor::DeepSeek, ""), None);
    }

    #[test]
    fn other_servers_keep_their_base_path() {
        assert_eq!(
            Endpoint::Chat.upstream_path(Flavor::VLLM, "/v1").as_deref(),
            Some("/v1/chat/completions")
        );
        assert_eq!(Endpoint::BetaChat.upstream_path(Flavor::Ollama, "/v1"), None);
    }

    #[test]
    fn a_wrong_method_is_not_an_unknown_url() {
        let error = Endpoint::find(&Method::GET, "/v1/chat/completions").expect_err("GET is refused");
        assert_eq!(error.code, Code::MethodNotAllowed);
        let error = Endpoint::find(&Method::POST, "/v2/chat").expect_err("no such path");
        assert_eq!(error.code, Code::UnknownUrl);
    }
}
