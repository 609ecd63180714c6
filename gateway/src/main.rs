//! Gateway: the OpenAI-compatible data plane in front of DeepSeek.

fn main() {}
