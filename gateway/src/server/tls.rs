//! TLS of the listeners. The certificate is looked up in the snapshot at each handshake: a renewed one takes effect at
//! once, for new connections.

use crate::pipeline::Context;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Accepts TLS 1.2 and 1.3 for listener `name`.
pub fn acceptor(name: &str, context: &Arc<Context>) -> TlsAcceptor {
    let resolver = FromSnapshot { listener: name.to_owned(), context: Arc::clone(context) };
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

struct FromSnapshot {
    listener: String,
    context: Arc<Context>,
}

impl fmt::Debug for FromSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromSnapshot").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for FromSnapshot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.context.snapshot.load().certificates.get(&self.listener).cloned()
    }
}

/// A certificate with its key, from PEM; checked to belong together.
pub fn certified_key(chain: &[u8], private_key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("the certificate is not PEM: {e}"))?;
    if chain.is_empty() {
        return Err("the certificate chain is empty".to_owned());
    }
    let key =
        PrivateKeyDer::from_pem_slice(private_key).map_err(|e| format!("the private key is not PEM: {e}"))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
        .map_err(|e| format!("certificate and private key cannot be used: {e}"))
}
