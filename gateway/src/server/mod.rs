//! Sockets: listeners, connections, TLS. Each connection carries HTTP/1.1 or HTTP/2, whichever the client speaks.

mod activity;
mod connection;
mod protocol;
mod tls;

pub use tls::certified_key;

use crate::pipeline::Context;
use deepseek_config::document;
use deepseek_crds::v1alpha1::ListenerProtocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A listener that holds its port and does not accept yet.
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Where it really listens: port 0 has become a real one.
    pub address: SocketAddr,
    /// Cleartext or TLS.
    pub protocol: ListenerProtocol,
    socket: TcpListener,
}

/// Pause after an accept that failed for want of file descriptors or memory; trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the kernel takes of an answer beyond what is on its way to the client: without a limit several megabytes for each
/// slow reader, which count as the pod's memory.
const UNSENT: u32 = 64 << 10;

/// Takes the port of `listener` on `host`.
pub async fn bind(listener: &document::Listener, host: IpAddr) -> io::Result<Bound> {
    let socket = TcpListener::bind((host, listener.port)).await?;
    // Each connection inherits it.
    socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT)?;
    let address = socket.local_addr()?;
    Ok(Bound { name: listener.name.clone(), address, protocol: listener.protocol, socket })
}

/// Accepts connections until the drain closes the listeners. Connections go on in tasks of their own.
pub async fn serve(bound: Bound, context: Arc<Context>) {
    let acceptor = match bound.protocol {
        ListenerProtocol::HTTP => None,
        ListenerProtocol::HTTPS => Some(tls::acceptor(&bound.name, &context)),
    };
    let closing = context.drain.closing();
    tokio::pin!(closing);
    loop {
        let accepted = tokio::select! {
            accepted = bound.socket.accept() => accepted,
            () = &mut closing => return,
        };
        match accepted {
            Ok((socket, _)) => spawn(socket, acceptor.clone(), Arc::clone(&context)),
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(listener = %bound.name, %error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn spawn(socket: TcpStream, acceptor: Option<tokio_rustls::TlsAcceptor>, context: Arc<Context>) {
    tokio::spawn(async move {
        if let Err(error) = connection::serve(socket, acceptor, context).await {
            tracing::debug!(%error, "connection ended");
        }
    });
}

/// The peer went away between its knock and our answer: not our trouble.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}
