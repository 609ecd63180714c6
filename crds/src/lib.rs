//! Custom resource types of the DeepSeek gateway: the source of truth for its API.
