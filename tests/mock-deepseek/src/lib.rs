//! A faithful DeepSeek for tests and demos, with faults on demand.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use mock_deepseek::{Mock, Options};
//!
//! let upstream = Mock::start(Options::named("a")).await?;
//! upstream.set_default("stall?stall_after=5"); // or per request: `x-mock-scenario: stall`, model `mock/stall`
//! // … send requests to upstream.base_url() …
//! upstream.wait_for(|stats| stats.cancelled == 1, Duration::from_secs(5)).await?;
//! assert_eq!(upstream.requests()[0].json()["model"], "deepseek-v4-pro");
//! # Ok(()) }
//! ```
//!
//! A request goes through `server` (socket), `handler` (steps), `check` (the rules of the platform), `answer` (what is
//! said), `wire` (how it looks), `fault` (where it breaks) and `play` (the clock). `scenario` lists all that can be asked for.

mod account;
mod admin;
mod answer;
mod api;
mod begun;
mod bench;
mod check;
mod connection;
mod endpoint;
mod exchange;
mod fault;
mod flavor;
mod handler;
mod mock;
mod options;
mod pieces;
mod play;
pub mod presets;
mod record;
mod replay;
mod request;
mod respond;
mod scenario;
mod server;
mod state;
mod stats;
pub mod tls;
mod wire;

pub use account::Account;
pub use answer::{REASONING, echo};
pub use flavor::Flavor;
pub use mock::{Mock, TimedOut};
pub use options::Options;
pub use record::{Outcome, Recorded};
pub use scenario::{
    ConnectionFault, Cut, InvalidScenario, ReasoningField, Scenario, Then, UsageFields, UsagePlace,
};
pub use state::Target;
pub use stats::Stats;
pub use wire::errors::ErrorKind;
