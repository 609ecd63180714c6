//! Compiled configuration and the pure compiler from custom resources to it.
