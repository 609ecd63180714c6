//! Finish reasons by which a server says that it gave the answer up.

/// `finish_reason` of an answer that DeepSeek gave up for want of resources: a part of its API.
pub const OUT_OF_RESOURCES: &str = "insufficient_system_resource";
/// The same of vLLM and SGLang, which clients of DeepSeek do not know.
pub const ABORTED: &str = "abort";
/// The same of servers in front of others (OpenRouter), whose own backend failed amid the answer.
pub const FAILED: &str = "error";

/// Whether a finish reason says that the server gave the answer up.
#[must_use]
pub fn gave_up(finish_reason: &str) -> bool {
    [OUT_OF_RESOURCES, ABORTED, FAILED].contains(&finish_reason)
}
