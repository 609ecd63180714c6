//! Connections to backends: one pool for each pair of trusted authorities and connect timeout.
//!
//! HTTP/1.1 only: one request a connection gives cancellation by closing it, no head-of-line blocking between
//! streams, and no ceiling of concurrent streams per connection (see `docs/adr/`).

use super::splice::SplicedBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// A pool of connections.
pub type Client = hyper_util::client::legacy::Client<Connector, SplicedBody>;

/// Idle connections are kept this long: shorter than what providers' load balancers allow.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// Idle connections kept per host.
const POOL_MAX_IDLE_PER_HOST: usize = 100;
/// The most that is read of an answer ahead of its client, on each connection, and the most that its head may have.
const BUFFER: usize = 16 << 10;
/// The most that the kernel holds of an answer that waits for its client: it would take several megabytes, which count
/// as the pod's memory. Enough for half a megabyte a second from the other side of the earth.
const RECEIVED: usize = 128 << 10;

/// All pools.
#[derive(Default)]
pub struct Clients {
    pools: Mutex<HashMap<PoolKey, Arc<Client>>>,
}

#[derive(PartialEq, Eq, Hash)]
struct PoolKey {
    ca: Option<Vec<u8>>,
    connect: Duration,
}

impl Clients {
    /// The pool for backends verified by `ca` (PEM; `None`: the usual roots) with this connect timeout.
    pub fn get(&self, ca: Option<&[u8]>, connect: Duration) -> Result<Arc<Client>, String> {
        let key = PoolKey { ca: ca.map(<[u8]>::to_vec), connect };
        let mut pools = self.pools.lock();
        if let Some(client) = pools.get(&key) {
            return Ok(Arc::clone(client));
        }
        pools.retain(|_, client| Arc::strong_count(client) > 1);
        let client = Arc::new(connect_with(tls_config(ca)?, connect));
        pools.insert(key, Arc::clone(&client));
        Ok(client)
    }
}

fn connect_with(tls: rustls::ClientConfig, connect: Duration) -> Client {
    let mut tcp = Tcp::new_with_resolver(Resolver(GaiResolver::new()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_recv_buffer_size(Some(RECEIVED));
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
        .http1_max_buf_size(BUFFER)
        .build(Connector { https, timeout: connect })
}

fn tls_config(ca: Option<&[u8]>) -> Result<rustls::ClientConfig, String> {
    let roots = match ca {
        None => usual_roots(),
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|e| format!("the CA certificates are not PEM: {e}"))?;
                roots.add(certificate).map_err(|e| format!("a CA certificate cannot be used: {e}"))?;
            }
            if roots.is_empty() {
                return Err("the CA holds no certificate".to_owned());
            }
            Arc::new(roots)
        }
    };
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// The system's roots where there are any, and Mozilla's: an image from scratch has none of its own.
fn usual_roots() -> Arc<rustls::RootCertStore> {
    static ROOTS: OnceLock<Arc<rustls::RootCertStore>> = OnceLock::new();
    let load = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(load))
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It took too long.
    #[error("no connection in time")]
    Timeout,
    /// The name has no address.
    #[error("the name cannot be resolved")]
    Dns,
    /// The handshake failed: wrong certificate, no TLS on that port.
    #[error("the TLS handshake failed")]
    Tls,
    /// Nothing listens there, or there is no way.
    #[error("the connection was refused")]
    Failed,
}

/// DNS, TCP and TLS under one timeout.
#[derive(Clone)]
pub struct Connector {
    https: HttpsConnector<Tcp>,
    timeout: Duration,
}

/// What a connected socket is.
type Stream = hyper_rustls::MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(cx).map_err(|error| explain(&*error))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected.map_err(|error| explain(&*error)),
                Err(_) => Err(ConnectError::Timeout),
            }
        })
    }
}

/// The TCP connector has an error type of its own; a bare I/O error comes from the handshake after it.
fn explain(error: &(dyn Error + Send + Sync + 'static)) -> ConnectError {
    if error.is::<io::Error>() {
        return ConnectError::Tls;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<Unresolved>() {
            return ConnectError::Dns;
        }
        source = cause.source();
    }
    ConnectError::Failed
}

/// A name without an address: marks what the resolver says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Unresolved(#[from] io::Error);

/// The system's resolver.
#[derive(Clone)]
struct Resolver(GaiResolver);

/// TCP connections to names.
type Tcp = HttpConnector<Resolver>;

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, Unresolved>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(cx).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(Unresolved) })
    }
}
