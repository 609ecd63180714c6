//! Operator: reconciles DeepSeek custom resources into gateways and their configuration.

fn main() {}
