//! HTTP/1.1 and HTTP/2, in clear and over TLS.

use crate::support::{
    KEY, client, client_builder, gateway, hello, hello_streamed, payloads, route, upstream, world,
};
use anyhow::{Result, ensure};
use deepseek_tests::gateway::Gateway;
use deepseek_tests::kubernetes::eventually;
use reqwest::Version;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() -> Result<()> {
    let a = upstream("a").await?;
    let gateway = Gateway::standalone(&world(&route(&[&a], ""))).await?;
    let client = client_builder().http2_prior_knowledge().build()?;
    let send =
        || client.post(gateway.url("/v1/chat/completions")).bearer_auth(KEY).json(&hello_streamed()).send();
    let answers = futures::future::try_join_all((0..20).map(|_| send())).await?;
    for answer in answers {
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200));
        assert_eq!(payloads(&answer.text().await?).last(), Some(&"[DONE]"));
    }
    Ok(())
}

/// A connection to a gateway that has seen the first byte of `sent` alone, if anything, before the others were sent.
async fn in_two_parts(gateway: &Gateway, sent: &[u8]) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(gateway.address()).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&sent[..1]).await?;
    eventually("the connection is known", Duration::from_secs(10), async || {
        let metrics = client().get(gateway.admin_url("/metrics")).send().await?.text().await?;
        ensure!(metrics.contains("deepseek_gateway_connections 1"), "{metrics}");
        Ok(())
    })
    .await;
    socket.write_all(&sent[1..]).await?;
    Ok(socket)
}

#[tokio::test]
async fn a_client_whose_first_byte_tells_nothing_is_served_by_either_protocol() -> Result<()> {
    let a = upstream("a").await?;
    for (sent, answer) in [
        (
            format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"),
            "HTTP/1.1 200",
        ),
        ("POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(), "HTTP/1.1 405"),
    ] {
        let gateway = gateway(&[&a], "").await?;
        let mut socket = in_two_parts(&gateway, sent.as_bytes()).await?;
        let mut head = vec![0; answer.len()];
        socket.read_exact(&mut head).await?;
        assert_eq!(String::from_utf8(head)?, answer);
    }
    let gateway = gateway(&[&a], "").await?;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings].concat();
    let mut socket = in_two_parts(&gateway, &sent).await?;
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).await?;
    assert_eq!(frame[3], 4, "a frame of settings");
    Ok(())
}

#[tokio::test]
async fn a_tls_listener_serves_both_protocols_with_the_certificate_of_its_secret() -> Result<()> {
    let a = upstream("a").await?;
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let indent = |pem: String| format!("    {}\n", pem.trim_end().replace('\n', "\n    "));
    let tls = format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: tls}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{}  tls.key: |
{}---
apiVersion: deepseekroute.io/v1alpha1
kind: DeepSeekGateway
metadata: {{name: default}}
spec:
  default: true
  listeners:
  - {{name: https, port: 8443, protocol: HTTPS, tls: {{secretRef: {{name: tls}}}}}}
---
",
        indent(certificate.cert.pem()),
        indent(certificate.signing_key.serialize_pem()),
    );
    let gateway = Gateway::standalone(&world(&format!("{tls}{}", route(&[&a], "")))).await?;
    let url = format!("https://localhost:{}/v1/chat/completions", gateway.address().port());
    let root = reqwest::Certificate::from_pem(certificate.cert.pem().as_bytes())?;
    for (version, http1_only) in [(Version::HTTP_2, false), (Version::HTTP_11, true)] {
        let builder = client_builder().tls_certs_only([root.clone()]);
        let client = if http1_only { builder.http1_only() } else { builder }.build()?;
        let answer = client.post(&url).bearer_auth(KEY).json(&hello()).send().await?;
        assert_eq!((answer.version(), answer.status().as_u16()), (version, 200));
    }
    Ok(())
}
