//! Logs: JSON lines for machines, one readable line for a terminal; their level can change while running.
//!
//! Only this gateway's own events are logged below `WARN`: HTTP libraries write headers, and so keys, at `DEBUG` and
//! `TRACE`. Panics are logged without their message unless it is a literal, since a formatted one may quote a request.

use clap::ValueEnum;
use deepseek_crds::v1alpha1::LogLevel;
use std::any::Any;
use std::io::{IsTerminal as _, stderr, stdout};
use std::panic::PanicHookInfo;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, writer::BoxMakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

/// Prefix of this crate's event targets.
const OWN: &str = "deepseek_gateway";

/// `--log-level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Failures of the gateway itself.
    Error,
    /// And what an operator should look at.
    Warn,
    /// And what changed.
    Info,
    /// And each request.
    Debug,
}

/// Where logs go and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON lines on standard output: in a pod.
    JsonToStdout,
    /// On standard error, readable on a terminal and JSON elsewhere: standalone, where standard output says what
    /// listens.
    Stderr,
}

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LevelHandle {
    /// Given on the command line; wins over the configuration.
    fixed: bool,
    filter: reload::Handle<Targets, Registry>,
}

impl LevelHandle {
    /// Takes the level the configuration asks for.
    pub fn configure(&self, level: LogLevel) {
        if !self.fixed {
            let _ = self.filter.reload(targets(from_config(level)));
        }
    }
}

/// Starts logging for the whole process.
pub fn start(format: Format, fixed: Option<Level>) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(targets(fixed.map_or(LevelFilter::INFO, from_args)));
    let json = match format {
        Format::JsonToStdout => true,
        Format::Stderr => !stderr().is_terminal(),
    };
    let writer = match format {
        Format::JsonToStdout => BoxMakeWriter::new(stdout),
        Format::Stderr => BoxMakeWriter::new(stderr),
    };
    let layer = fmt::layer().with_writer(writer);
    let layer = if json {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        layer.with_target(false).compact().boxed()
    };
    // Fails only when logging was started before; that one then stays.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    std::panic::set_hook(Box::new(log_panic));
    LevelHandle { fixed: fixed.is_some(), filter: handle }
}

fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(OWN, level)
        // Every failure comes back from it as well, and is logged where it matters.
        .with_target("kube_client", LevelFilter::OFF)
}

fn from_args(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    }
}

fn from_config(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = panic_message(info.payload());
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(
        location,
        thread = thread.name().unwrap_or_default(),
        reason = message,
        "panic: this is a defect, please report it"
    );
}

fn panic_message(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("withheld, as it may quote a request")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level as Event;

    #[test]
    fn a_panic_message_made_of_data_is_withheld() {
        assert_eq!(panic_message(&"index out of bounds"), "index out of bounds");
        let quoting = format!("byte index 1 is not a char boundary in {:?}", "a prompt");
        assert!(!panic_message(&quoting).contains("prompt"));
    }

    #[test]
    fn libraries_stay_at_warn_whatever_the_level() {
        let debug = targets(LevelFilter::DEBUG);
        assert!(debug.would_enable("deepseek_gateway::pipeline", &Event::DEBUG));
        assert!(!debug.would_enable("h2::codec", &Event::DEBUG));
        assert!(debug.would_enable("rustls::conn", &Event::WARN));
        let error = targets(LevelFilter::ERROR);
        assert!(!error.would_enable("rustls::conn", &Event::WARN));
    }
}
