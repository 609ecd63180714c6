//! A gateway process that died, and one that hangs: both are started again, and meanwhile the other pod serves.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use deepseek_tests::kubernetes::try_eventually;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    client::{Client, fresh},
    process::Process,
    site::{GatewayPod, SYSTEM, Site},
};

/// How soon the Service must have left out a pod that is not there.
const LEFT_OUT: Duration = Duration::from_secs(15);
/// A caller with little patience.
const PATIENCE: Duration = Duration::from_secs(2);

/// `kill -9` of the gateway's process.
pub async fn kill(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    let pod = a_ready_pod(site, 0).await?;
    Process::of_gateway(&pod)?.kill().await?;
    restarted(site, client, &pod, Duration::from_secs(30)).await
}

/// A process that is there and does nothing: nobody but the liveness probe notices.
pub async fn hang(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    let pod = a_ready_pod(site, 1).await?;
    Process::of_gateway(&pod)?.signal("STOP")?;
    restarted(site, client, &pod, Duration::from_mins(2)).await?;
    let events = format!("get events -n {SYSTEM} --field-selector involvedObject.name={}", pod.name);
    let events = site.kubectl(&events).await?;
    anyhow::ensure!(events.contains("Liveness probe failed"), "{events}");
    Ok(())
}

/// The gateway pod of this number among those that are ready.
pub async fn a_ready_pod(site: &Site<'_>, number: usize) -> anyhow::Result<GatewayPod> {
    let pods = site.gateway_pods().await?;
    let mut ready = pods.iter().filter(|pod| pod.ready && !pod.leaving);
    ready.nth(number).cloned().with_context(|| format!("too few pods are ready: {pods:?}"))
}

/// Waits until the pod's container was started again, and holds the Service against its promise all the while.
async fn restarted(
    site: &Site<'_>,
    client: &Client,
    pod: &GatewayPod,
    deadline: Duration,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let watched = try_eventually("the pod's container is started again and ready", deadline, async || {
        let pods = site.gateway_pods().await?;
        let now = pods.iter().find(|it| it.uid == pod.uid).context("the pod is gone")?;
        anyhow::ensure!(now.restarts == pod.restarts + 1 && now.ready, "{now:?}");
        anyhow::Ok(())
    });
    tokio::pin!(watched);
    let http = fresh(PATIENCE)?;
    let mut pace = interval(Duration::from_millis(100));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut answers, mut failures) = (0, Vec::new());
    loop {
        tokio::select! {
            done = &mut watched => {
                done?;
                break;
            }
            _ = pace.tick() => match client.ask_by(&http).await {
                Ok(_) => answers += 1,
                Err(error) => failures.push((begin.elapsed(), format!("{error:#}"))),
            }
        }
    }
    let took = begin.elapsed().as_secs_f32();
    eprintln!(
        "{} is back after {took:.1} s; meanwhile {answers} requests were answered, {} not",
        pod.name,
        failures.len()
    );
    let late: Vec<_> = failures.iter().filter(|(at, _)| *at > LEFT_OUT).collect();
    anyhow::ensure!(late.is_empty(), "the Service still sent requests to the pod: {late:?}");
    anyhow::ensure!(answers > failures.len(), "the other pod did not serve: {failures:?}");
    Ok(())
}
