//! A faithful DeepSeek for tests and demos, with faults on demand.
