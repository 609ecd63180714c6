//! HTTP/1.1 and HTTP/2, in clear and over TLS.

use crate::support::{KEY, client_builder, hello, hello_streamed, payloads, route, upstream, world};
use anyhow::Result;
use deepseek_tests::gateway::Gateway;
use reqwest::Version;

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
