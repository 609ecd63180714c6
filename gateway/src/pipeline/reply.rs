//! The body of a response: whole, or relayed from a backend. One enum, so that no reply is boxed.

use super::relay::Relay;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// A response body.
pub enum ReplyBody {
    /// Known in full.
    Full(Full),
    /// Relayed from a backend as it arrives.
    Relay(Box<Relay>),
}

/// What is known in full, and left of it.
pub struct Full {
    /// What is left.
    pub bytes: Bytes,
    /// When the client must have it.
    until: Instant,
}

/// How much of what is known in full is handed to the connection at once: a client that does not read holds no more.
const PIECE: usize = 32 << 10;
/// How long a client may take for an answer that belongs to no call: an error, a list.
const PATIENCE: Duration = Duration::from_mins(1);

/// A body that is known in full, and belongs to no call.
pub fn full(bytes: impl Into<Bytes>) -> ReplyBody {
    full_until(bytes, Instant::now() + PATIENCE)
}

/// A body that is known in full, of a call that must be over at `until`.
pub fn full_until(bytes: impl Into<Bytes>, until: Instant) -> ReplyBody {
    ReplyBody::Full(Full { bytes: bytes.into(), until })
}

impl ReplyBody {
    /// When it must be over. A client that does not read does not learn of it: it has to be cut.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self {
            Self::Full(full) => full.until,
            Self::Relay(relay) => relay.deadline(),
        }
    }

    /// What is still to be sent where it has to end now; `None` where the client cannot be told that something is missing.
    #[must_use]
    pub fn cut_short(self) -> Option<Self> {
        match self {
            Self::Full(full) => Some(Self::Full(full)),
            Self::Relay(relay) => relay.cut_short().map(full),
        }
    }
}

/// The backend's answer broke off where the client cannot be told otherwise: the connection must be cut.
#[derive(Debug)]
pub struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backend's answer broke off")
    }
}

impl std::error::Error for BrokenOff {}

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Full(Full { bytes, .. }) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
            }
            Self::Relay(relay) => {
                relay.poll_chunk(cx).map(|chunk| chunk.map(|result| result.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.bytes.is_empty(),
            Self::Relay(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => SizeHint::with_exact(full.bytes.len() as u64),
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
