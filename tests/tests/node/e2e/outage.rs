//! The API server is away: what was loaded goes on, and a gateway that starts takes its last good copy from disk.

use std::time::Duration;

use deepseek_tests::kubernetes::try_eventually;

use super::{
    client::{Client, fresh},
    process::Process,
    self_healing::a_ready_pod,
    site::{SYSTEM, Site},
};

/// A container that ended is started again within this time.
const BACK: Duration = Duration::from_secs(30);

/// Kills a gateway's process while the API server is away: it comes back and serves; nothing is missing afterwards.
pub async fn restart(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    let pod = a_ready_pod(site, 1).await?;
    let own = Client::of_pod(&pod);
    let kept = fresh(Duration::from_secs(2))?;
    own.ask_by(&kept).await?;

    site.node.stop_api_server()?;
    anyhow::ensure!(site.kubectl("get namespaces").await.is_err(), "the API server still answers");
    client.ask().await?;
    Process::of_gateway(&pod)?.kill().await?;
    try_eventually("it serves from its last good copy", BACK, async || own.ask_by(&kept).await).await?;

    site.node.start_api_server().await?;
    try_eventually("the pod is known to be ready again", BACK, async || {
        let pods = site.gateway_pods().await?;
        let ready = pods.iter().any(|it| it.uid == pod.uid && it.ready && it.restarts == pod.restarts + 1);
        anyhow::ensure!(ready, "{pods:?}");
        anyhow::Ok(())
    })
    .await?;
    site.kubectl(&format!("wait --for=condition=Ready deepseekgateway/default -n {SYSTEM} --timeout=30s"))
        .await?;
    Ok(())
}
