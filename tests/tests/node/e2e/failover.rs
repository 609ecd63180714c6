//! The primary upstream dies, and comes back.

use std::time::{Duration, Instant};

use deepseek_tests::kubernetes::try_eventually;
use serde_json::Value;

use super::{
    client::{Client, is_from},
    process::Process,
    site::{MODELS, Site, TENANT},
    upstream,
};

/// How soon the status must say what is so.
const SECONDS: Duration = Duration::from_secs(15);

/// Takes the primary away without notice: the very next request is answered, by the secondary.
pub async fn next_request(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    is_from("primary", &client.ask().await?)?;
    let pod = site.kubectl(&format!("get pods -n {MODELS} -l app=primary -o name")).await?;
    let process = Process::find("mock-deepseek", pod.trim().trim_start_matches("pod/"))?;
    // Held still, so that it cannot take its leave when the kubelet asks it to.
    process.signal("STOP")?;
    upstream::scale(site, "primary", 0).await?;
    process.kill().await?;
    let asked = Instant::now();
    is_from("secondary", &client.ask().await?)?;
    eprintln!("answered by the secondary after {:.0} ms", asked.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}

/// The route's status says that the primary is out, and what shows it is that no caller has noticed.
pub async fn status(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    try_eventually("the status says that the primary is out", SECONDS, async || {
        // Each pod judges by what it sees, and not by a few requests.
        for _ in 0..5 {
            is_from("secondary", &client.ask().await?)?;
        }
        let backends = backends(site).await?;
        let primary = &backends[0];
        anyhow::ensure!(
            primary["name"] == "primary"
                && primary["state"] == "Open"
                && primary["reason"] == "ConnectFailure",
            "{backends}"
        );
        anyhow::ensure!(backends[1]["state"] == "Healthy", "{backends}");
        anyhow::Ok(())
    })
    .await?;
    let table = site.show(&format!("get deepseekroutes -n {TENANT}")).await?;
    anyhow::ensure!(table.contains("1/2") && table.contains("True"), "{table}");
    Ok(())
}

/// A primary that is back gets its traffic back.
pub async fn recovery(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    upstream::scale(site, "primary", 1).await?;
    site.kubectl(&format!("rollout status deployment/primary -n {MODELS} --timeout=60s")).await?;
    try_eventually("the primary answers, and the status says so", Duration::from_mins(1), async || {
        let answer = client.ask().await?;
        let backends = backends(site).await?;
        anyhow::ensure!(backends[0]["state"] == "Healthy", "{backends}");
        is_from("primary", &answer)
    })
    .await
}

/// `status.backends` of the route.
async fn backends(site: &Site<'_>) -> anyhow::Result<Value> {
    let read = format!("get deepseekroute flash -n {TENANT} -o jsonpath={{.status.backends}}");
    Ok(serde_json::from_str(&site.kubectl(&read).await?)?)
}
