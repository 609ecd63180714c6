//! Answers that are kept and given again.

use crate::support::{
    KEY, chat, client, gateway, hello, hello_streamed, payloads, post, route, said, upstream, world,
};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);
const CACHE: &str = "  cache: {}\n";

fn cache(response: &Response) -> &str {
    response.headers().get("x-deepseek-gateway-cache").map_or("", |value| value.to_str().unwrap_or_default())
}

#[tokio::test]
async fn the_very_same_call_costs_one_request_and_says_how_old_its_answer_is() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    let first = chat(&gateway, &hello()).await?;
    assert_eq!((first.status().as_u16(), cache(&first)), (200, "miss"));
    assert!(!first.headers().contains_key("age"));
    let first = first.bytes().await?;
    let second = chat(&gateway, &hello()).await?;
    assert_eq!((second.status().as_u16(), cache(&second)), (200, "hit"));
    assert_eq!(second.headers()["content-type"], "application/json");
    let age: u64 = second.headers()["age"].to_str()?.parse()?;
    assert!(age < 60, "{age}");
    assert_eq!(second.bytes().await?, first);
    assert_eq!(a.stats().requests, 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_is_given_again_as_a_stream_to_its_last_byte() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = gateway(&[&a], CACHE).await?;
    let first = chat(&gateway, &hello_streamed()).await?.text().await?;
    let second = chat(&gateway, &hello_streamed()).await?;
    assert_eq!(cache(&second), "hit");
    assert!(second.headers()["content-type"].to_str()?.starts_with("text/event-stream"));
    let second = second.text().await?;
    assert_eq!(payloads(&second), payloads(&first));
    assert!(second.contains("\"usage\":{"), "{second}");
    assert_eq!(payloads(&second).last(), Some(&"[DONE]"));
    let whole: Value = chat(&gateway, &hello()).await?.json().await?;
    assert!(said(&whole).starts_with("[a "), "a whole answer is another call: {whole}");
    assert_eq!(a.stats().requests, 2);
    Ok(())
}
