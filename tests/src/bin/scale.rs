//! `scale ROUTES`: how the operator keeps up. `cargo xtask scale` builds and runs it.

use anyhow::Context as _;
use deepseek_tests::operator::scale::measure;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let routes = std::env::args().nth(1).context("say how many routes")?;
    let routes: usize = routes.parse().context("the number of routes is not a number")?;
    println!("{}", measure(routes.max(1)).await?);
    Ok(())
}
