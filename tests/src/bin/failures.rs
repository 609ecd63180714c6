//! `failures`: plays every known failure, one after the other, and prints what was seen. `cargo xtask failures` builds
//! and runs it.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use deepseek_tests::failures::table::{Row, write_into};
use deepseek_tests::failures::{ABSENT, Case, Seen, cases};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long a case may take.
const LONGEST: Duration = Duration::from_mins(2);

/// Play what is known to go wrong, and print what the client saw.
#[derive(Parser)]
struct Arguments {
    /// Only this one, such as F7
    #[arg(long)]
    only: Vec<String>,
    /// Write the table into this page
    #[arg(long, value_name = "PAGE")]
    write: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = |case: &Case| {
        arguments.only.is_empty() || arguments.only.iter().any(|id| id.eq_ignore_ascii_case(&case.id))
    };
    let chosen: Vec<_> = cases().into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no case is named {}", arguments.only.join(", "));
    }
    let mut rows = Vec::new();
    for case in chosen {
        let row = Row { outcome: play(&case).await, case };
        println!("{}", row.line());
        rows.push(row);
    }
    for absent in ABSENT.iter().filter(|_| arguments.only.is_empty()) {
        println!("–     {:5} {}\n            {}", absent.id, absent.title, absent.reason);
    }
    let failed = rows.iter().filter(|row| row.outcome.is_err()).count();
    println!("\n{} of {} pass", rows.len() - failed, rows.len());
    if let Some(path) = arguments.write {
        let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        std::fs::write(&path, write_into(&page, &rows)?)?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play(case: &Case) -> Result<Seen> {
    let played = tokio::time::timeout(LONGEST, (case.run)()).await;
    played.with_context(|| format!("not done within {LONGEST:?}"))?
}
