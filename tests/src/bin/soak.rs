//! `soak SECONDS SEED CLIENTS`: the gateway under mixed faults. `cargo xtask soak` builds and runs it.

use anyhow::{Context as _, bail};
use deepseek_tests::soak::Soak;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    let [seconds, seed, clients] = arguments[..] else {
        bail!("say how many seconds, a seed, how many clients")
    };
    let clients = clients.try_into().context("too many clients")?;
    let soak = Soak { time: Duration::from_secs(seconds), seed, clients, progress: true };
    let report = soak.run().await?;
    let problems = report.problems();
    for problem in &problems {
        println!("{problem}\n");
    }
    println!("{report}");
    if problems.is_empty() { Ok(()) } else { bail!("{} problems, told above the table", problems.len()) }
}
