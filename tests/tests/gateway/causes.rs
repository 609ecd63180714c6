//! Why a backend was left, as logs and metrics name it (`docs/judgement.md`), and that another one answers.

use crate::support::{attempts, hello, hello_streamed, post, route, upstream, world};
use anyhow::{Result, ensure};
use deepseek_tests::failures::answer::Answer;
use deepseek_tests::gateway::Gateway;
use mock_deepseek::Mock;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than anything takes here.
const LONG: &str = "10s";

/// A route whose backend `first` is at `url` and may take `connect` to be connected, and `second` after it.
async fn behind(url: &str, connect: &str, second: &Mock) -> Result<Gateway> {
    let first = format!(
        "  backends:\n  - {{name: first, baseUrl: \"{url}\", apiKey: {{secretRef: {{name: provider, key: token}}}}}}\n"
    );
    let route = route(&[second], &format!("  timeouts: {{connect: {connect}}}\n"));
    let route = route.replace("priority: 0", "priority: 1").replace("  backends:\n", &first);
    Gateway::standalone(&world(&route)).await
}

/// Calls, streamed and in one piece, whose first backend is at `url`: the second answers, and `cause` is named.
async fn replaced(url: &str, cause: &str) -> Result<()> {
    replaced_within(LONG, url, cause).await
}

/// The same, with another time for a connection.
async fn replaced_within(connect: &str, url: &str, cause: &str) -> Result<()> {
    let second = upstream("second").await?;
    let gateway = behind(url, connect, &second).await?;
    for body in [hello(), hello_streamed()] {
        Answer::to(post(&gateway, "/v1/chat/completions", &body)).await?.whole_by("second")?;
    }
    let seen = [attempts(&gateway, "first", cause).await?, attempts(&gateway, "second", "Answered").await?];
    ensure!(seen == [2, 2], "{cause}: {seen:?} attempts are counted; {}", gateway.logs());
    let logs = gateway.logs();
    let named =
        |line: &&str| line.contains("attempt failed") && line.contains(&format!("\"reason\":\"{cause}\""));
    let lines = logs.lines().filter(named).filter(|line| line.contains("\"backend\":\"first\"")).count();
    ensure!(lines == 2, "{cause}: {lines} lines name it: {logs}");
    Ok(())
}

#[tokio::test]
async fn a_port_that_refuses_is_left_for_the_next_backend() -> Result<()> {
    let gone = upstream("gone").await?;
    gone.kill().await?;
    replaced(&gone.base_url(), "ConnectFailed").await
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_left_for_the_next_backend() -> Result<()> {
    let plain = upstream("plain").await?;
    replaced(&plain.base_url().replace("http:", "https:"), "TlsFailed").await?;
    assert_eq!(plain.stats().requests, 0, "nothing is sent in clear");
    Ok(())
}

/// A listener that accepts nobody, and what fills its queue.
async fn full() -> Result<(TcpListener, Vec<TcpStream>)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        waiting.push(connected?);
        ensure!(waiting.len() < 100, "its queue has no end");
    }
    Ok((listener, waiting))
}

#[tokio::test]
async fn a_server_that_accepts_nobody_is_left_in_time_for_the_next_backend() -> Result<()> {
    let (listener, _waiting) = full().await?;
    replaced_within("1s", &format!("http://{}", listener.local_addr()?), "ConnectTimeout").await
}

#[tokio::test]
async fn a_refused_account_or_a_retired_model_is_left_for_the_next_backend() -> Result<()> {
    for (scenario, cause) in
        [("forbidden", "Forbidden"), ("not-found", "NotFound"), ("model-retired", "ModelUnknown")]
    {
        let first = upstream("first").await?;
        first.set_default(scenario);
        replaced(&first.base_url(), cause).await?;
        assert_eq!(first.stats().requests, 2, "{scenario}: once for each call");
    }
    Ok(())
}
