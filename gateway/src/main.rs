//! Gateway: the OpenAI-compatible data plane in front of DeepSeek.
#![expect(dead_code, reason = "the composition root comes with the next commit")]

mod config;
mod drain;
mod snapshot;

fn main() {}
