//! Gateway: the OpenAI-compatible data plane in front of DeepSeek.

use clap::Parser as _;
use deepseek_gateway::{args::Args, run::run};
use std::process::ExitCode;

// Streams allocate and free small buffers on every thread; the system allocator would keep far more than is in use.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run(Args::parse())
}
