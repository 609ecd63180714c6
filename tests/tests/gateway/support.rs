//! What the tests of the data path share: worlds, routes and calls.

pub use deepseek_tests::calls::*;
