//! A route that is deleted is a model that does not exist.

use std::time::{Duration, Instant};

use deepseek_tests::kubernetes::try_eventually;

use super::{
    client::Client,
    site::{Site, TENANT},
};

/// How soon no pod may serve it any more.
const SOON: Duration = Duration::from_secs(2);
/// So many answers in a row are from both pods.
const IN_A_ROW: usize = 12;

pub async fn delete(site: &Site<'_>, client: &Client) -> anyhow::Result<()> {
    client.ask().await?;
    let deleted = Instant::now();
    site.kubectl(&format!("delete deepseekroute flash -n {TENANT}")).await?;
    try_eventually("the model does not exist", SOON.saturating_sub(deleted.elapsed()), async || {
        for _ in 0..IN_A_ROW {
            let (status, body) = client.look().await?;
            anyhow::ensure!(status == 404 && body["error"]["code"] == "model_not_found", "{status}: {body}");
        }
        anyhow::Ok(())
    })
    .await?;
    eprintln!(
        "404 model_not_found from every pod {:.0} ms after `kubectl delete`",
        deleted.elapsed().as_secs_f64() * 1000.0
    );
    Ok(())
}
