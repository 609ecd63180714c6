//! The commands of README and CI.

fn main() {}
