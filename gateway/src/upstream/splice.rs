//! A request body with one value replaced, without copying the rest.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Up to three pieces sent one after the other. Cloning is cheap: the bytes are shared.
#[derive(Clone, Debug, Default)]
pub struct SplicedBody {
    pieces: [Bytes; 3],
    next: usize,
}

impl SplicedBody {
    /// The body as it is.
    #[must_use]
    pub fn whole(body: Bytes) -> Self {
        Self { pieces: [body, Bytes::new(), Bytes::new()], next: 0 }
    }

    /// The body with the bytes in `at` replaced.
    #[must_use]
    pub fn replace(body: &Bytes, at: Range<usize>, by: Bytes) -> Self {
        Self { pieces: [body.slice(..at.start), by, body.slice(at.end..)], next: 0 }
    }

    fn remaining(&self) -> u64 {
        self.pieces[self.next..].iter().map(|piece| piece.len() as u64).sum()
    }
}

impl Body for SplicedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.next < self.pieces.len() {
            let at = self.next;
            self.next += 1;
            let piece = std::mem::take(&mut self.pieces[at]);
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_replaced_value_leaves_every_other_byte_alone() {
        let body = Bytes::from_static(br#"{ "model" : "a", "x": 1 }"#);
        let spliced = SplicedBody::replace(&body, 12..15, Bytes::from_static(br#""deepseek""#));
        assert_eq!(spliced.size_hint().exact(), Some(body.len() as u64 + 7));
        let sent = spliced.collect().await.expect("infallible").to_bytes();
        assert_eq!(sent, br#"{ "model" : "deepseek", "x": 1 }"#.as_slice());
    }
}
