//! Free ports on loopback.

use std::net::TcpListener;

use anyhow::Context as _;

/// `N` different ports that were free a moment ago.
///
/// Another process may take one before its owner binds it, so who uses them must be able to start again.
pub(crate) fn free<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        // All are held until all are known: the kernel gives a port that was just closed a second time.
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("failed to bind a port on loopback")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
