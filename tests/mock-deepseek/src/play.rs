//! Response bodies: one that is known, one played step by step, and the precomputed ones of the bench.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    exchange::Exchange,
    fault::{Script, Step},
    record::Outcome,
    scenario::ConnectionFault,
};

/// A response body.
pub(crate) enum Reply {
    /// Known bytes; they count as answered when the connection took them.
    Known { bytes: Option<Bytes>, exchange: Option<Exchange> },
    /// Played step by step.
    Played(Box<Play>),
    /// Precomputed frames, each sent by itself.
    Bench { frames: Arc<[Bytes]>, next: usize, flush: bool },
}

impl Reply {
    pub(crate) fn known(bytes: Bytes, exchange: Option<Exchange>) -> Self {
        let bytes = (!bytes.is_empty()).then_some(bytes);
        match exchange {
            Some(mut exchange) if bytes.is_none() => {
                exchange.end(Outcome::Completed);
                Self::Known { bytes, exchange: None }
            }
            exchange => Self::Known { bytes, exchange },
        }
    }
}

/// A script and where it is at.
pub(crate) struct Play {
    script: Script,
    exchange: Exchange,
    wait: Option<Pin<Box<Sleep>>>,
    forever: Option<(Duration, Bytes)>,
    /// Nothing comes any more, not even the end.
    stalled: bool,
    /// Whether to let what was sent reach the socket before going on.
    flush: bool,
    /// Bytes still to come under a `Content-Length`: at 0 the connection asks no more.
    remaining: Option<usize>,
}

impl Play {
    pub(crate) fn new(script: Script, length: Option<usize>, exchange: Exchange) -> Box<Self> {
        Box::new(Self {
            script,
            exchange,
            wait: None,
            forever: None,
            stalled: false,
            flush: false,
            remaining: length,
        })
    }

    /// Does what is left once all announced bytes were given.
    fn finish(&mut self) {
        for step in self.script.by_ref() {
            match step {
                Step::Sent => self.exchange.count_frame(),
                Step::CloseAfter => self.exchange.connection().doom(ConnectionFault::Close),
                _ => {}
            }
        }
        self.exchange.end(Outcome::Completed);
    }

    fn wait(&mut self, time: Duration) {
        self.wait = Some(Box::pin(sleep_until(Instant::now() + time)));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if self.stalled {
                return Poll::Pending;
            }
            if std::mem::take(&mut self.flush) {
                // Pending once: the connection writes what it has before it asks again.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
                if let Some((_, bytes)) = &self.forever {
                    self.flush = true;
                    return Poll::Ready(Some(Ok(bytes.clone())));
                }
            }
            if let Some((every, _)) = &self.forever {
                self.wait(*every);
                continue;
            }
            match self.script.next() {
                Some(Step::Send(bytes)) => {
                    self.flush = true;
                    self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(bytes.len()));
                    if self.remaining == Some(0) {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Step::Sent) => self.exchange.count_frame(),
                Some(Step::Wait(time)) => self.wait(time),
                Some(Step::Forever { every, bytes }) => self.forever = Some((every, bytes)),
                Some(Step::Stall) => self.stalled = true,
                Some(Step::Cut) => {
                    self.exchange.end(Outcome::Faulted);
                    return Poll::Ready(Some(Err(io::Error::other("cut by the scenario"))));
                }
                Some(Step::Reset) => {
                    self.exchange.end(Outcome::Faulted);
                    self.exchange.connection().doom(ConnectionFault::Reset);
                    self.stalled = true;
                }
                Some(Step::CloseAfter) => self.exchange.connection().doom(ConnectionFault::Close),
                None => {
                    self.exchange.end(Outcome::Completed);
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Known { bytes, exchange } => {
                let bytes = bytes.take();
                if let Some(mut exchange) = exchange.take() {
                    exchange.count_frame();
                    exchange.end(Outcome::Completed);
                }
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Played(play) => play.poll_next(cx).map(|next| next.map(|result| result.map(Frame::data))),
            Self::Bench { frames, next, flush } => {
                if std::mem::take(flush) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let frame = frames.get(*next).cloned();
                *next += 1;
                *flush = frame.is_some() && *next < frames.len();
                Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Known { bytes, .. } => bytes.is_none(),
            Self::Played(_) => false,
            Self::Bench { frames, next, .. } => *next >= frames.len(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Known { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Played(_) | Self::Bench { .. } => SizeHint::default(),
        }
    }
}
