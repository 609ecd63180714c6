//! Files that change while the gateway runs: what is good takes effect, what is bad changes nothing.

use crate::support::{
    PROVIDER_KEY, chat, chat_json, client, code, gateway, hello, hello_streamed, route, upstream, world,
};
use anyhow::{Context as _, Result, ensure};
use deepseek_config::report::{LoadedObject, Report};
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Far longer than a reload takes.
const SOON: Duration = Duration::from_secs(10);

fn rewrite(gateway: &Gateway, file: &str, text: &str) -> Result<()> {
    Ok(std::fs::write(gateway.directory().join(file), text)?)
}

async fn report(gateway: &Gateway) -> Result<Report> {
    Ok(client().get(gateway.admin_url("/status")).send().await?.json().await?)
}

/// What is reported of route `name`.
async fn object(gateway: &Gateway, name: &str) -> Result<LoadedObject> {
    let objects = report(gateway).await?.objects;
    objects
        .into_iter()
        .find(|object| object.id.name == name)
        .with_context(|| format!("no {name} in the report"))
}

fn calling(model: &str) -> Value {
    let mut body = hello();
    body["model"] = json!(model);
    body
}

#[tokio::test]
async fn a_changed_route_is_served_within_moments_and_without_a_restart() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    assert_eq!(code(&chat_json(&gateway, &calling("fast")).await?.1), "model_not_found");
    let start = Instant::now();
    rewrite(&gateway, "manifests.yaml", &world(&route(&[&a], "  aliases: [fast]\n")))?;
    eventually("a request by the alias reaches the backend", SOON, async || {
        chat_json(&gateway, &calling("fast")).await?;
        let sent = a.last_request().context("no request yet")?.json();
        ensure!(sent["model"] == "fast", "{sent}");
        Ok(())
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_new_file_is_taken_in_and_a_removed_one_is_gone() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let backend = json!({"name": "a", "baseUrl": a.base_url(), "model": "deepseek-flash",
        "apiKey": {"secretRef": {"name": "provider", "key": "token"}}});
    let added = json!({"apiVersion": "deepseekroute.io/v1alpha1", "kind": "DeepSeekRoute",
        "metadata": {"name": "added"}, "spec": {"model": "added", "backends": [backend]}});
    rewrite(&gateway, "added.json", &added.to_string())?;
    eventually("the new route is served", SOON, async || {
        let (status, answer) = chat_json(&gateway, &calling("added")).await?;
        ensure!(status == 200, "{answer}");
        Ok(())
    })
    .await;
    std::fs::remove_file(gateway.directory().join("added.json"))?;
    eventually("the removed route is gone", SOON, async || {
        let (status, answer) = chat_json(&gateway, &calling("added")).await?;
        ensure!((status, code(&answer)) == (404, "model_not_found"), "{answer}");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told_until_it_is_mended() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let good = object(&gateway, "chat").await?;
    rewrite(&gateway, "manifests.yaml", "spec: [")?;
    eventually("the report tells", SOON, async || {
        let refused = object(&gateway, "chat").await?.refused.context("not refused yet")?;
        ensure!(refused.contains("manifests.yaml cannot be read"), "{refused}");
        Ok(())
    })
    .await;
    assert_eq!(object(&gateway, "chat").await?.sha256, good.sha256);
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);

    rewrite(
        &gateway,
        "manifests.yaml",
        &world(&route(&[&a], ""))
            .replace("weight", "")
            .replace("model: deepseek-flash", "model: deepseek-flash\n  failvoer: {attempts: 1}"),
    )?;
    gateway.wait_for_log("spec.failvoer: there is no such field").await?;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);

    rewrite(&gateway, "manifests.yaml", &world(&route(&[&a], "")))?;
    eventually("the report is clean", SOON, async || {
        ensure!(object(&gateway, "chat").await? == good);
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_rotated_key_is_used_by_the_next_request_and_streams_go_on() -> Result<()> {
    let a = upstream("a").await?;
    a.set_default("chunks=20&chunk_delay_ms=100&thinking=false");
    let gateway = gateway(&[&a], "").await?;
    let mut stream = chat(&gateway, &hello_streamed()).await?;
    let mut received = stream.chunk().await?.context("a first frame")?.to_vec();
    a.set_default("plain");
    rewrite(
        &gateway,
        "manifests.yaml",
        &world(&route(&[&a], "")).replace(PROVIDER_KEY, "sk-rotated-0123456789"),
    )?;
    eventually("the new key is sent", SOON, async || {
        chat_json(&gateway, &hello()).await?;
        let sent = a.last_request().context("a request")?;
        ensure!(sent.header("authorization") == Some("Bearer sk-rotated-0123456789"));
        Ok(())
    })
    .await;
    while let Some(piece) = stream.chunk().await? {
        received.extend_from_slice(&piece);
    }
    assert!(String::from_utf8(received)?.trim_end().ends_with("[DONE]"));
    Ok(())
}

#[tokio::test]
async fn what_was_counted_survives_a_reload() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    for _ in 0..3 {
        assert_eq!(chat_json(&gateway, &hello()).await?.0, 200);
    }
    let before = report(&gateway).await?;
    rewrite(&gateway, "manifests.yaml", &world(&route(&[&a], "  aliases: [fast]\n")))?;
    let after: Report = client()
        .get(gateway.admin_url(&format!("/status?after={}&wait=10", before.revision)))
        .send()
        .await?
        .json()
        .await?;
    assert!(after.revision > before.revision, "the long poll ended with the reload");
    assert_eq!(after.routes, before.routes);
    assert_eq!(after.routes[0].requests, 3);
    Ok(())
}

#[tokio::test]
async fn listeners_are_opened_and_closed_with_the_gateways_document() -> Result<()> {
    let a = upstream("a").await?;
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let gateway_with = |more: &str| {
        format!(
            "{}---\napiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: default}}\nspec:\n  \
             listeners:\n  - {{name: http, port: 18080, protocol: HTTP}}\n{more}",
            world(&route(&[&a], ""))
        )
    };
    let gateway = Gateway::standalone(&gateway_with("")).await?;
    let url = format!("http://{free}/v1/models");
    assert!(client().get(&url).send().await.is_err());
    let second = format!("  - {{name: second, port: {}, protocol: HTTP}}\n", free.port());
    rewrite(&gateway, "manifests.yaml", &gateway_with(&second))?;
    gateway.wait_for_log(&format!("listening on http://{free}")).await?;
    assert_eq!(client().get(&url).send().await?.status(), 401);
    rewrite(&gateway, "manifests.yaml", &gateway_with(""))?;
    eventually("the second port is closed", SOON, async || {
        ensure!(client().get(&url).send().await.is_err());
        Ok(())
    })
    .await;
    assert_eq!(chat_json(&gateway, &hello()).await?.0, 200, "the first one was not touched");
    Ok(())
}

#[tokio::test]
async fn the_log_level_follows_the_gateways_document() -> Result<()> {
    let a = upstream("a").await?;
    let with_level = |level: &str| {
        format!(
            "{}---\napiVersion: deepseekroute.io/v1alpha1\nkind: DeepSeekGateway\nmetadata: {{name: default}}\nspec: \
             {{logLevel: {level}}}\n",
            world(&route(&[&a], ""))
        )
    };
    let gateway = Gateway::standalone(&with_level("Info")).await?;
    assert!(!gateway.logs().contains("DEBUG"), "{}", gateway.logs());
    rewrite(&gateway, "manifests.yaml", &with_level("Debug"))?;
    gateway.wait_for_log("DEBUG").await?;
    Ok(())
}

#[tokio::test]
async fn thousands_of_routes_load_at_once_and_one_more_takes_moments() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], "").await?;
    let many = |count: usize| {
        (0..count).fold(String::new(), |mut text, n| {
            let one = route(&[&a], &format!("  aliases: [alias-{n}]\n"))
                .replace("{name: chat}", &format!("{{name: route-{n}}}"))
                .replace("model: deepseek-flash", &format!("model: model-{n}"));
            let _ = write!(text, "---\n{one}");
            text
        })
    };
    rewrite(&gateway, "many.yaml", &many(2_000))?;
    let loaded = async |count| {
        let objects = report(&gateway).await?.objects;
        let loaded = objects.iter().filter(|o| o.id.name.starts_with("route-") && o.sha256.is_some()).count();
        ensure!(loaded == count, "{loaded} of {count}");
        Ok(())
    };
    eventually("2,000 routes are loaded", Duration::from_mins(1), async || loaded(2_000).await).await;
    rewrite(&gateway, "many.yaml", &many(2_001))?;
    eventually("and one more", Duration::from_mins(1), async || loaded(2_001).await).await;
    chat_json(&gateway, &calling("alias-1999")).await?;
    assert_eq!(a.last_request().context("a request")?.json()["model"], "alias-1999");
    let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
    let joins = metrics
        .lines()
        .find_map(|line| line.strip_prefix("deepseek_gateway_config_join_duration_seconds_count "))
        .context("joins are counted")?;
    assert!(joins.parse::<u32>()? < 20, "{joins} joins");
    Ok(())
}
