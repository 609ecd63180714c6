//! The provider's key changes while the gateway serves.

use std::time::Duration;

use deepseek_tests::kubernetes::try_eventually;

use super::{
    client::Client,
    load::Load,
    site::{Site, TENANT},
    upstream,
};

/// As the fake tells of keys: the old one of `examples/quickstart/secrets.yaml`, and the new one.
const OLD: &str = "****-key";
const NEW: &str = "****2222";

/// Replaces the key under load: it is used without a restart, and no request is lost.
pub async fn rotate(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    let before = site.gateway_pods().await?;
    let load = Load::start(client, 2);
    let secret = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: deepseek, namespace: {TENANT}}}, stringData: {{api-key: sk-rotated-2222}}}}"
    );
    site.node.apply(&secret).await?.ok()?;
    try_eventually("only the new key is used", Duration::from_secs(10), async || {
        let earlier = upstream::stats(site, "primary").await?.by_key;
        let answered = earlier.values().sum::<u64>();
        let later = try_eventually("more requests arrive", Duration::from_secs(5), async || {
            let later = upstream::stats(site, "primary").await?.by_key;
            anyhow::ensure!(later.values().sum::<u64>() >= answered + 20, "{later:?}");
            anyhow::Ok(later)
        })
        .await?;
        anyhow::ensure!(later.get(NEW) > earlier.get(NEW), "the new key is not used: {later:?}");
        anyhow::ensure!(later.get(OLD) == earlier.get(OLD), "the old key is still used: {later:?}");
        anyhow::Ok(())
    })
    .await?;
    let told = load.finish().await?.nothing_lost()?;
    let after = site.gateway_pods().await?;
    anyhow::ensure!(before == after, "pods were {before:?}, are {after:?}");
    eprintln!("{told}");
    Ok(())
}
