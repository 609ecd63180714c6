//! One client connection, from its first byte to its last.
//!
//! A kept HTTP/1.1 connection that is closed while the client sends its next request loses that request. So a leaving
//! process says `Connection: close` with its answers, and ends without a word only what has been quiet for [`QUIET`].

use super::activity::Activity;
use super::protocol::Speaks;
use crate::drain::Phase;
use crate::pipeline::error::{Code, GatewayError};
use crate::pipeline::in_flight::InFlight;
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::{Context, handle};
use http::{HeaderValue, Version, header};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for a TLS handshake, and for its first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a kept HTTP/1.1 connection may be idle, and the head of its next request take: longer than clients and load
/// balancers keep theirs (60 to 90 s), so that they close first and lose no request.
pub(super) const KEEP_ALIVE: Duration = Duration::from_mins(2);
/// Requests a client may have open on one HTTP/2 connection.
pub(super) const H2_STREAMS: u32 = 1000;
/// An HTTP/2 connection is asked for a sign of life this often, so that a dead peer's streams end.
pub(super) const H2_PING: Duration = Duration::from_secs(30);
/// A connection on which nothing was asked for this long is not about to be used again: so long the answer to a client
/// far away takes to arrive, and its next request to come.
const QUIET: Duration = Duration::from_secs(1);

/// The most that waits in memory for a client that reads slowly, on each HTTP/1.1 connection and each HTTP/2 stream:
/// beyond it the backend is not read from. It is the most that the head of an HTTP/1.1 request may have as well.
pub(super) const BUFFER: usize = 32 << 10;

type Failure = Box<dyn Error + Send + Sync>;

/// Serves a connection until either side closes it or the drain cuts it.
pub async fn serve(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    context: Arc<Context>,
) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    match acceptor {
        None => Box::pin(converse(socket, context)).await,
        Some(acceptor) => {
            let secured = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(socket)).await??;
            Box::pin(converse(secured, context)).await
        }
    }
}

async fn converse(
    io: impl Speaks + AsyncRead + AsyncWrite + Unpin + Send + 'static,
    context: Arc<Context>,
) -> Result<(), Failure> {
    let _counted = (context.drain.connection(), InFlight::enter(&context.shared.metrics.connections));
    let cut = context.drain.cut();
    tokio::pin!(cut);
    let (activity, first) = (Arc::new(Activity::default()), Instant::now() + HEAD_TIMEOUT);
    let protocol = tokio::select! {
        protocol = io.protocol() => protocol?,
        () = &mut cut => return Ok(()),
        () = activity.never_asked(first) => return Ok(()),
        () = async { context.drain.closing().await; activity.quiet(QUIET).await } => return Ok(()),
    };
    let closing = context.drain.closing();
    let service = {
        let activity = Arc::clone(&activity);
        service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let context = Arc::clone(&context);
            let one = request.version() <= Version::HTTP_11;
            let open = Activity::open(&activity, one);
            async move {
                // In memory of its own: the connection would keep room for it while it is idle, and while an answer flows.
                let (mut response, place) = tokio::select! {
                    biased;
                    answered = Box::pin(handle(&context, request)) => answered,
                    () = context.drain.is_cut() => (stopped(), None),
                };
                if one && context.drain.phase() > Phase::Serving {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| open.counts(body, place)))
            }
        })
    };
    let connection = protocol.serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let is_cut = tokio::select! {
        ended = connection.as_mut() => return ended,
        () = &mut cut => true,
        () = activity.never_asked(first) => return Ok(()),
        () = activity.overstayed() => return Ok(()),
        () = async { closing.await; activity.quiet(QUIET).await } => false,
    };
    connection.as_mut().graceful_shutdown();
    if !is_cut {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = cut => {}
            // HTTP/2 that has not begun hears no farewell.
            () = activity.never_asked(Instant::now() + QUIET) => return Ok(()),
            () = activity.overstayed() => return Ok(()),
        }
    }
    // For as long as the process waits.
    activity.cut();
    connection.await
}

/// What a call gets that has no answer when the process leaves.
fn stopped() -> http::Response<ReplyBody> {
    let message = "This gateway was stopped before the call was answered. Try again.";
    GatewayError::new(Code::Overloaded, message).retry_after(Some(Duration::from_secs(1))).respond()
}
