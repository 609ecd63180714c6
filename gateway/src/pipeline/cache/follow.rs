//! One caller who reads a shared call: what it gets, and what is settled for it.

use super::recording::{End, Head, Next, Reader};
use super::share::is_stream;
use crate::pipeline::REQUEST_ID;
use crate::pipeline::error::{Code, GatewayError};
use crate::pipeline::opening::Opening;
use crate::pipeline::settle::{Ending, Settlement};
use bytes::Bytes;
use http::Response;
use std::task::{Context, Poll, ready};

/// A caller who reads a shared call.
pub struct Follower {
    reader: Reader,
    head: Head,
    /// Of a caller who came later; that of the first is with the call.
    settlement: Option<Settlement>,
}

/// Why a caller gets no more of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The answer broke off.
    Cut,
    /// The caller was too slow for the others.
    TooSlow,
}

impl Follower {
    /// Waits until the answer begins.
    pub async fn open(reader: Reader, settlement: Option<Settlement>) -> Opening {
        let Some(mut head) = reader.head().await else {
            return Opening::Refused(interrupted(), settlement);
        };
        if settlement.is_some() {
            // A backend may name the request of the first.
            head.headers.remove(REQUEST_ID);
        }
        match reader.whole() {
            Some((body, _)) if !is_stream(&head) => {
                let mut response = Response::new(body);
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers;
                if let Some(code) = head.refused {
                    response.extensions_mut().insert(code);
                }
                Opening::Whole(response, settlement)
            }
            _ => Opening::Shared(Box::new(Self { reader, head, settlement })),
        }
    }

    /// How the answer begins.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether it is an event stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        is_stream(&self.head)
    }

    /// The next piece.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Lost>>> {
        let (ending, result) = match ready!(self.reader.poll_next(cx)) {
            Next::Piece(piece) => return Poll::Ready(Some(Ok(piece))),
            Next::End(End::Complete) => (Ending::Complete, None),
            Next::End(End::Told) => (Ending::Broken, None),
            Next::End(End::Cut) => (Ending::Broken, Some(Err(Lost::Cut))),
            Next::TooSlow => (Ending::Broken, Some(Err(Lost::TooSlow))),
        };
        if let Some(mut settlement) = self.settlement.take() {
            settlement.status = self.head.status.as_u16();
            settlement.ending = ending;
        }
        Poll::Ready(result)
    }
}

/// The call came to nothing.
fn interrupted() -> GatewayError {
    GatewayError::new(
        Code::UpstreamError,
        "The call that this one was merged with came to nothing. Try again.",
    )
}
