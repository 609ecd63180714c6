//! What stands between clients and the gateway: a load balancer that cuts connections on which nothing comes down.

use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to `target` and closes those on which no byte comes back for `patience`; returns where.
pub async fn impatient(target: SocketAddr, patience: Duration) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, target, patience));
        }
    });
    Ok(address)
}

async fn pass(client: TcpStream, target: SocketAddr, patience: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 16 << 10];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(patience, from_server.read(&mut buffer)).await {
        to_client.write_all(&buffer[..count]).await?;
    }
    up.abort();
    Ok(())
}
