//! New pods take the place of the old ones while the gateway serves.

use std::time::Duration;

use deepseek_tests::kubernetes::try_eventually;

use super::{
    client::Client,
    load::Load,
    site::{GatewayPod, SYSTEM, Site},
};

/// A change of the gateway's spec, then what people do by hand, under one load: every request gets its whole answer.
pub async fn roll(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    let load = Load::start(client, 3);
    let patch = r#"{"spec":{"pods":{"annotations":{"example.com/rolled":"yes"}}}}"#;
    let patch = format!("patch deepseekgateway default -n {SYSTEM} --type=merge -p {patch}");
    let restart = format!("rollout restart deployment/default-gateway -n {SYSTEM}");
    for command in [patch, restart] {
        let before: Vec<String> = site.gateway_pods().await?.into_iter().map(|pod| pod.uid).collect();
        site.kubectl(&command).await?;
        let what = format!("every pod is a new one, and the old ones are gone, after {command}");
        try_eventually(&what, Duration::from_mins(1), async || {
            let pods = site.gateway_pods().await?;
            let fresh = |pod: &GatewayPod| pod.ready && !pod.leaving && !before.contains(&pod.uid);
            anyhow::ensure!(pods.len() >= 2 && pods.iter().all(fresh), "{pods:#?}");
            anyhow::Ok(())
        })
        .await?;
    }
    eprintln!("{}", load.finish().await?.nothing_lost()?);
    Ok(())
}
