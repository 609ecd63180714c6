//! Which API a path belongs to.

use http::Method;

/// An endpoint of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat { beta: bool },
    Fim { beta: bool },
    Messages,
    Responses,
    Models,
    Balance,
    Embeddings,
    Unknown,
}

impl Endpoint {
    /// The endpoint of a path; `/v1` is an alias everywhere but in the beta.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/chat/completions" | "/v1/chat/completions" => Self::Chat { beta: false },
            "/beta/chat/completions" | "/beta/v1/chat/completions" => Self::Chat { beta: true },
            "/completions" | "/v1/completions" => Self::Fim { beta: false },
            "/beta/completions" | "/beta/v1/completions" => Self::Fim { beta: true },
            "/anthropic/v1/messages" | "/anthropic/messages" => Self::Messages,
            "/responses" | "/v1/responses" => Self::Responses,
            "/models" | "/v1/models" => Self::Models,
            "/user/balance" | "/v1/user/balance" => Self::Balance,
            "/embeddings" | "/v1/embeddings" => Self::Embeddings,
            _ => Self::Unknown,
        }
    }

    /// The name in counters.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Chat { .. } => "chat",
            Self::Fim { .. } => "fim",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Models => "models",
            Self::Balance => "balance",
            Self::Embeddings => "embeddings",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is asked with this method.
    pub(crate) fn takes(self, method: &Method) -> bool {
        match self {
            Self::Models | Self::Balance => method == Method::GET,
            Self::Unknown => true,
            _ => method == Method::POST,
        }
    }
}
