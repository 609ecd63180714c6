//! The autoscaler sees what the pods use.

use std::time::Duration;

use deepseek_tests::kubernetes::try_eventually;

use super::site::{SYSTEM, Site};

pub async fn reads_cpu(site: &Site<'_>) -> anyhow::Result<()> {
    let read = format!("get hpa -n {SYSTEM} default-gateway");
    try_eventually("the autoscaler has a figure", Duration::from_secs(90), async || {
        let table = site.kubectl(&read).await?;
        anyhow::ensure!(table.contains("%/65%"), "{table}");
        anyhow::Ok(())
    })
    .await?;
    site.show(&read).await?;
    Ok(())
}
