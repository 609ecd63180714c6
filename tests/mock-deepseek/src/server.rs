//! The listener and the connections: accept, serve HTTP/1.1 or h2c, and carry out what was decided about the socket.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connection::{Connection, SharedSocket},
    handler,
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

/// Accepts until the life ends.
pub(crate) async fn accept(listener: TcpListener, state: Arc<State>, life: Life) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = life.kill.cancelled() => return,
            () = life.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                life.tasks.spawn(serve(stream, state.clone(), life.clone()));
            }
            // Out of file descriptors, most likely: others must end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>, life: Life) {
    // A client that is gone already shows at the first read.
    let _gone = stream.set_nodelay(true);
    let connection = state.change(|books| {
        books.stats.connections += 1;
        books.stats.open_connections += 1;
        Connection::new(books.stats.connections)
    });
    let socket = SharedSocket::new(stream);
    tokio::select! {
        () = life.kill.cancelled() => socket.reset_on_close(),
        () = converse(&socket, &connection, &state, &life) => {}
    }
    drop(socket);
    state.change(|books| books.stats.open_connections = books.stats.open_connections.saturating_sub(1));
}

/// Serves requests until the client or a scenario ends the connection.
async fn converse(socket: &SharedSocket, connection: &Arc<Connection>, state: &Arc<State>, life: &Life) {
    if let Some(fault) = state.accept_fault() {
        return socket.suffer(fault).await;
    }
    let fault = {
        let service = service_fn(|request| handler::handle(state.clone(), connection.clone(), request));
        let builder = auto::Builder::new(TokioExecutor::new());
        let mut http = pin!(builder.serve_connection(TokioIo::new(socket.clone()), service));
        let mut stopping = false;
        loop {
            tokio::select! {
                // HTTP first: what an answer has sent reaches the socket before the socket's fate does.
                biased;
                _ended = &mut http => return,
                fault = connection.doomed() => break fault,
                () = life.stop.cancelled(), if !stopping => {
                    stopping = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
    };
    socket.suffer(fault).await;
}
