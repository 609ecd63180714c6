//! A request body with some of its bytes replaced, without copying the rest.

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes of a body to be replaced; an empty range is an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Which bytes.
    pub at: Range<usize>,
    /// By what.
    pub with: Bytes,
}

/// Pieces sent one after the other. Cloning is cheap: the bytes are shared.
#[derive(Clone, Debug, Default)]
pub struct SplicedBody {
    pieces: std::vec::IntoIter<Bytes>,
    remaining: u64,
}

/// Appends `source` with everything replaced that `splices` say. They come in any order and do not overlap.
pub fn write(out: &mut BytesMut, source: &[u8], mut splices: Vec<Splice>) {
    // An insertion comes before what is replaced at the same place.
    splices.sort_by_key(|splice| (splice.at.start, splice.at.end));
    let mut done = 0;
    for Splice { at, with } in splices {
        out.extend_from_slice(&source[done..at.start]);
        out.extend_from_slice(&with);
        done = at.end;
    }
    out.extend_from_slice(&source[done..]);
}

impl SplicedBody {
    /// The body with everything replaced that `splices` say. They come in any order and do not overlap.
    #[must_use]
    pub fn new(body: &Bytes, mut splices: Vec<Splice>) -> Self {
        // An insertion comes before what is replaced at the same place.
        splices.sort_by_key(|splice| (splice.at.start, splice.at.end));
        let mut pieces = Vec::with_capacity(splices.len() * 2 + 1);
        let mut done = 0;
        for Splice { at, with } in splices {
            pieces.push(body.slice(done..at.start));
            pieces.push(with);
            done = at.end;
        }
        pieces.push(body.slice(done..));
        pieces.retain(|piece| !piece.is_empty());
        let remaining = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into_iter(), remaining }
    }
}

impl Body for SplicedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.remaining -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn sent(body: SplicedBody) -> Vec<u8> {
        let told = body.size_hint().exact();
        let sent = body.collect().await.expect("infallible").to_bytes();
        assert_eq!(told, Some(sent.len() as u64));
        sent.to_vec()
    }

    #[tokio::test]
    async fn what_is_not_replaced_stays_byte_for_byte() {
        let body = Bytes::from_static(br#"{ "model" : "a", "x": 1 }"#);
        let model = Splice { at: 12..15, with: Bytes::from_static(br#""deepseek""#) };
        let first = Splice { at: 1..1, with: Bytes::from_static(br#""user_id":"u","#) };
        let both = SplicedBody::new(&body, vec![model, first]);
        assert_eq!(sent(both).await, br#"{"user_id":"u", "model" : "deepseek", "x": 1 }"#);
        assert_eq!(sent(SplicedBody::new(&body, Vec::new())).await, body);
    }
}
