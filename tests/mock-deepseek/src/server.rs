//! The listeners and their connections: accept, serve HTTP/1.1 or h2c, and carry out what was decided about the socket.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin,
    connection::{Connection, SharedSocket},
    handler,
    scenario::ConnectionFault,
    state::State,
};

/// One life of a listener: from bind to stop or kill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// No more connections; open ones end after the answer they are at.
    pub(crate) stop: CancellationToken,
    /// No more connections; open ones are reset.
    pub(crate) kill: CancellationToken,
    /// The listener and its connections.
    pub(crate) tasks: TaskTracker,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Clients, in every way a scenario wants.
    Front,
    /// The admin paths alone, whatever the scenarios.
    Admin,
}

/// Accepts until the life ends.
pub(crate) async fn accept(listener: TcpListener, door: Door, state: Arc<State>, life: Life) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = life.kill.cancelled() => return,
            () = life.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                life.tasks.spawn(serve(stream, door, state.clone(), life.clone()));
            }
            // Out of file descriptors, most likely: others must end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(stream: TcpStream, door: Door, state: Arc<State>, life: Life) {
    // A client that is gone already shows at the first read.
    let _gone = stream.set_nodelay(true);
    let socket = SharedSocket::new(stream);
    if door == Door::Admin {
        let service = service_fn(|request| {
            let state = state.clone();
            async move { Ok::<_, Infallible>(admin::handle(&state, request).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        tokio::select! {
            () = life.kill.cancelled() => {}
            // A connection that broke has nobody left to tell.
            _ended = builder.serve_connection(TokioIo::new(socket), service) => {}
        }
        return;
    }
    let connection = state.change(|books| {
        books.stats.connections += 1;
        books.stats.open_connections += 1;
        Connection::new(books.stats.connections)
    });
    tokio::select! {
        () = life.kill.cancelled() => socket.reset_on_close(),
        () = converse(&socket, &connection, &state, &life) => {}
    }
    drop(socket);
    state.change(|books| books.stats.open_connections = books.stats.open_connections.saturating_sub(1));
}

/// Serves requests until the client or a scenario ends the connection.
async fn converse(socket: &SharedSocket, connection: &Arc<Connection>, state: &Arc<State>, life: &Life) {
    let fault = match (state.accept_fault(), &state.options.tls) {
        (Some(fault), _) => Some(fault),
        (None, None) => speak(socket.clone(), connection, state, life).await,
        (None, Some(tls)) => match TlsAcceptor::from(tls.clone()).accept(socket.clone()).await {
            Ok(stream) => speak(stream, connection, state, life).await,
            // The client did not like our certificate, or we not its.
            Err(_) => None,
        },
    };
    if let Some(fault) = fault {
        socket.suffer(fault).await;
    }
}

/// Speaks HTTP until the connection ends by itself, or returns how a scenario wants it to end.
async fn speak<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: T,
    connection: &Arc<Connection>,
    state: &Arc<State>,
    life: &Life,
) -> Option<ConnectionFault> {
    let service = service_fn(|request| handler::handle(state.clone(), connection.clone(), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut http = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        tokio::select! {
            // HTTP first: what an answer has sent reaches the socket before the socket's fate does.
            biased;
            _ended = &mut http => return None,
            fault = connection.doomed() => return Some(fault),
            () = life.stop.cancelled(), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}
