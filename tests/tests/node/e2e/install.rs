//! The release is installed as its charts' pages say.

use anyhow::Context as _;
use deepseek_tests::kubernetes::image;

use super::site::{SYSTEM, Site};

/// The product's image, without its tag.
const REPOSITORY: &str = "localhost/deepseek-gateway";
const TAG: &str = "e2e";
/// The fake DeepSeek's image.
pub const MOCK_IMAGE: &str = "localhost/mock-deepseek:e2e";

/// The path of a chart of this repository.
fn chart(name: &str) -> String {
    format!("{}/../charts/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Builds the product's image and the fake's, and gives them to the node.
pub async fn images(site: &Site<'_>) -> anyhow::Result<()> {
    let product = image::product(&format!("{REPOSITORY}:{TAG}"), "dev").await?;
    let mock = image::mock_deepseek(MOCK_IMAGE, "dev").await?;
    for image in [&product, &mock] {
        site.node.load_image(image.archive()).await.with_context(|| image.name.clone())?;
    }
    Ok(())
}

/// Installs both charts with the defaults of a user, and waits as their notes say.
pub async fn release(site: &Site<'_>) -> anyhow::Result<()> {
    let (definitions, operator) = (chart("deepseek-operator-crds"), chart("deepseek-operator"));
    site.node.helm(&["install", "deepseek-operator-crds", &definitions]).await?.ok()?;
    site.create_namespace(SYSTEM).await?;
    let (repository, tag) = (format!("image.repository={REPOSITORY}"), format!("image.tag={TAG}"));
    let image = ["--set", &repository, "--set", &tag];
    let install = ["install", "deepseek-operator", &operator, "--namespace", SYSTEM];
    site.node.helm(&[&install[..], &image].concat()).await?.ok()?;
    site.kubectl(&format!("rollout status deployment/deepseek-operator -n {SYSTEM} --timeout=60s")).await?;
    site.kubectl(&format!("wait --for=condition=Ready deepseekgateway/default -n {SYSTEM} --timeout=60s"))
        .await?;
    let running = site.show(&format!("get pods -n {SYSTEM}")).await?;
    let ready = |name: &str| running.lines().filter(|it| it.starts_with(name) && it.contains("1/1")).count();
    anyhow::ensure!(ready("deepseek-operator-") == 2 && ready("default-gateway-") == 2, "{running}");
    site.show(&format!("get deepseekgateways -n {SYSTEM}")).await?;
    Ok(())
}
