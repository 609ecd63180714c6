//! One client connection, from its first byte to its last.
//!
//! A kept HTTP/1.1 connection that is closed while the client sends its next request loses that request. So a leaving
//! process says `Connection: close` with its answers, and ends without a word only what has been quiet for [`QUIET`].

use super::activity::Activity;
use crate::drain::Phase;
use crate::pipeline::in_flight::InFlight;
use crate::pipeline::{Context, handle};
use http::{HeaderValue, Version, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for a TLS handshake, and for its first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a kept HTTP/1.1 connection may be idle, and the head of its next request take: longer than clients and load
/// balancers keep theirs (60 to 90 s), so that they close first and lose no request.
const KEEP_ALIVE: Duration = Duration::from_mins(2);
/// Requests a client may have open on one HTTP/2 connection.
const H2_STREAMS: u32 = 1000;
/// An HTTP/2 connection is asked for a sign of life this often, so that a dead peer's streams end.
const H2_PING: Duration = Duration::from_secs(30);
/// A connection on which nothing was asked for this long is not about to be used again: so long the answer to a client
/// far away takes to arrive, and its next request to come.
const QUIET: Duration = Duration::from_secs(1);

/// The most that waits in memory for a client that reads slowly, on each HTTP/1.1 connection and each HTTP/2 stream:
/// beyond it the backend is not read from. It is the most that the head of an HTTP/1.1 request may have as well.
const BUFFER: usize = 32 << 10;

type Failure = Box<dyn Error + Send + Sync>;

static PROTOCOL: LazyLock<auto::Builder<TokioExecutor>> = LazyLock::new(|| {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(KEEP_ALIVE).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .keep_alive_interval(H2_PING)
        .max_send_buf_size(BUFFER)
        .adaptive_window(true);
    builder
});

/// Serves a connection until either side closes it or the drain cuts it.
pub async fn serve(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    context: Arc<Context>,
) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    match acceptor {
        None => converse(socket, context).await,
        Some(acceptor) => {
            let secured = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(socket)).await??;
            converse(secured, context).await
        }
    }
}

async fn converse(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    context: Arc<Context>,
) -> Result<(), Failure> {
    let _counted = (context.drain.connection(), InFlight::enter(&context.shared.metrics.connections));
    let (closing, cut) = (context.drain.closing(), context.drain.cut());
    let activity = Arc::new(Activity::default());
    let service = {
        let activity = Arc::clone(&activity);
        service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let context = Arc::clone(&context);
            let one = request.version() <= Version::HTTP_11;
            let open = Activity::open(&activity, one);
            async move {
                let (mut response, place) = handle(&context, request).await;
                if one && context.drain.phase() > Phase::Serving {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| open.counts(body, place)))
            }
        })
    };
    let connection = PROTOCOL.serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection, cut);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = &mut cut => return Ok(()),
        () = activity.never_asked(HEAD_TIMEOUT) => return Ok(()),
        () = activity.overstayed() => return Ok(()),
        () = async { closing.await; activity.quiet(QUIET).await } => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection => ended,
        () = cut => Ok(()),
        () = activity.overstayed() => Ok(()),
    }
}
