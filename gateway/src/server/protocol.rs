//! Which protocol a client speaks, told before anything of it is read.
//!
//! hyper's own way is to read the first bytes and to put them back in front; its buffer for the rest is then twice as
//! large, for as long as the connection lives. So it is left what cannot be told from here.

use super::connection::{BUFFER, H2_PING, H2_STREAMS, KEEP_ALIVE};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::future::Future;
use std::io;
use std::sync::LazyLock;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// How HTTP is spoken on a connection.
pub type Protocol = &'static LazyLock<Builder<TokioExecutor>>;

static ONE: LazyLock<Builder<TokioExecutor>> = LazyLock::new(|| either().http1_only());
static TWO: LazyLock<Builder<TokioExecutor>> = LazyLock::new(|| either().http2_only());
static EITHER: LazyLock<Builder<TokioExecutor>> = LazyLock::new(either);

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn either() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .keep_alive_interval(H2_PING)
        .max_send_buf_size(BUFFER)
        .adaptive_window(true);
    builder
}

/// A connection that tells its protocol.
pub trait Speaks {
    /// The protocol, as soon as the client has said something.
    fn protocol(&self) -> impl Future<Output = io::Result<Protocol>> + Send;
}

impl Speaks for TcpStream {
    async fn protocol(&self) -> io::Result<Protocol> {
        let mut first = [0; PREFACE.len()];
        let length = self.peek(&mut first).await?;
        Ok(match &first[..length] {
            PREFACE => &TWO,
            // Too little was sent to tell; or nothing, and it is closed.
            few if PREFACE.starts_with(few) => &EITHER,
            _ => &ONE,
        })
    }
}

impl Speaks for TlsStream<TcpStream> {
    async fn protocol(&self) -> io::Result<Protocol> {
        Ok(match self.get_ref().1.alpn_protocol() {
            Some(b"h2") => &TWO,
            Some(b"http/1.1") => &ONE,
            _ => &EITHER,
        })
    }
}
