//! One accepted connection: its socket is shared, so that a scenario can do to it what no HTTP library would.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

use crate::scenario::ConnectionFault;

/// A connection as the handlers see it: they can decide its end, the task that serves it carries that out.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    requests: AtomicU64,
    fate: OnceLock<ConnectionFault>,
    decided: Notify,
}

impl Connection {
    pub(crate) fn new(id: u64) -> Arc<Self> {
        Arc::new(Self { id, requests: AtomicU64::new(0), fate: OnceLock::new(), decided: Notify::new() })
    }

    /// Counts a request; returns how many came before it.
    pub(crate) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Decides how the connection ends; the first decision holds.
    pub(crate) fn doom(&self, fault: ConnectionFault) {
        if self.fate.set(fault).is_ok() {
            self.decided.notify_one();
        }
    }

    /// Whether its end was decided by a scenario.
    pub(crate) fn is_doomed(&self) -> bool {
        self.fate.get().is_some()
    }

    /// Waits for the decision.
    pub(crate) async fn doomed(&self) -> ConnectionFault {
        loop {
            if let Some(fault) = self.fate.get() {
                return *fault;
            }
            self.decided.notified().await;
        }
    }
}

/// A socket with several holders. It closes when the last one lets go.
#[derive(Clone, Debug)]
pub(crate) struct SharedSocket(Arc<TcpStream>);

impl SharedSocket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Makes the closing of the socket a reset.
    pub(crate) fn reset_on_close(&self) {
        // Fails only on a socket that is gone already, which is what is wanted.
        let _gone = self.0.set_zero_linger();
    }

    /// Carries a fault out; returns when the socket may be let go.
    pub(crate) async fn suffer(&self, fault: ConnectionFault) {
        const HALF_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-str";
        // A write that fails found the client gone: the fault has nobody left to hit.
        match fault {
            ConnectionFault::Close => {}
            ConnectionFault::Reset => self.reset_on_close(),
            ConnectionFault::Hang => self.closed_by_client().await,
            ConnectionFault::HalfHeaders => {
                let _gone = self.write_raw(HALF_HEAD).await;
                self.closed_by_client().await;
            }
            ConnectionFault::CutHeaders => {
                let _gone = self.write_raw(HALF_HEAD).await;
            }
            ConnectionFault::Garbage => {
                let _gone = self.write_raw(b"\x15\x03\x01\x00\x02\x02\x0a this is no HTTP").await;
            }
        }
    }

    async fn write_raw(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the client closes or resets, reading away what it sends.
    async fn closed_by_client(&self) {
        let mut sink = [0; 1024];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut sink) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    fn poll_write_with<T>(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for SharedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(&mut buffer) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The close that follows sends the FIN.
        Poll::Ready(Ok(()))
    }
}
