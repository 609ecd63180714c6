//! Logs: JSON lines on standard output, values as fields.

use crate::args::LogLevel;
use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` wins over `level`. The libraries below stay one step quieter, as they log whole objects.
pub fn init(level: LogLevel) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => {
            EnvFilter::try_new(directives).context("RUST_LOG is not a list of log directives")?
        }
        _ => EnvFilter::try_new(format!("warn,deepseek_operator={}", level.as_str()))?,
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .try_init()
        .map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
