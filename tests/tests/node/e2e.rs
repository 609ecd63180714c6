//! The product's main job from its installation to its removal, as a platform team lives it: one node, one release, one
//! story, as each chapter needs the one before.
//!
//! ```text
//! install ▶ quickstart ▶ talk ▶ upstream dies ▶ key rotates ▶ pod dies ▶ API server is away ▶ rollouts ▶ pod hangs
//!         ▶ scaling ▶ route goes ▶ uninstall
//! ```
//!
//! Every step is printed with its time; a step that fails prints what the cluster looked like.

mod client;
mod deletion;
mod failover;
mod install;
mod load;
mod outage;
mod process;
mod quickstart;
mod rollout;
mod rotation;
mod scaling;
mod self_healing;
mod site;
mod talk;
mod uninstall;
mod upstream;

use deepseek_tests::kubernetes::Node;
use site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_installed_serves_survives_what_happens_to_it_and_leaves_nothing() {
    // A node of its own: definitions and roles are the whole cluster's.
    let node = Node::boot().await.unwrap();
    let site = Site::new(&node);

    site.step("images are built and loaded", install::images(&site)).await;
    site.step("both charts are installed: operator and gateway pods run", install::release(&site)).await;
    site.step("two fake DeepSeeks run as pods", upstream::deploy(&site)).await;
    site.step("the quickstart is applied: the route is Ready", quickstart::apply(&site)).await;
    site.step("a second backend is added: 2/2", quickstart::add_a_backend(&site)).await;
    let gateway =
        site.step("the Service of the gateway has an address", client::Client::connect(&site)).await;

    site.step("OpenAI's SDK chats, streamed and not", talk::with_the_sdk(&gateway)).await;
    site.step(
        "the primary dies: the next request is answered by the secondary",
        failover::next_request(&site, &gateway),
    )
    .await;
    site.step("the status tells that the primary is out", failover::status(&site, &gateway)).await;
    site.step("the primary is back and takes over again", failover::recovery(&site, &gateway)).await;
    site.step("the provider's key is rotated under load", rotation::rotate(&site, &gateway)).await;
    site.step("a killed gateway process is started again", self_healing::kill(&site, &gateway)).await;
    site.step("without an API server it serves, and even starts", outage::restart(&site, &gateway)).await;
    // New pods for the next chapter: the kubelet takes its time with a container that ends again and again.
    site.step("two rollouts under load lose no request", rollout::roll(&site, &gateway)).await;
    site.step("a hung gateway process is started again", self_healing::hang(&site, &gateway)).await;
    site.step("the autoscaler reads the CPU", scaling::reads_cpu(&site)).await;
    site.step("a deleted route is no longer served", deletion::delete(&site, &gateway)).await;
    site.step("an uninstall leaves nothing", uninstall::uninstall(&site)).await;
}
