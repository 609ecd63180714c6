//! Cuts a byte stream into whole server-sent events, so that a client never sees half a frame.
//!
//! A piece that ends where an event ends passes as it is, uncopied: that is how servers send. Only what is split in
//! the middle of an event waits for its rest.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// An event longer than this is passed on in parts rather than held.
const MAX_HELD: usize = 16 << 20;

/// Holds the beginning of an event whose end has not arrived.
#[derive(Default)]
pub struct Framer {
    held: BytesMut,
}

impl Framer {
    /// Adds a piece; returns everything up to the end of the last whole event.
    pub fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.held.is_empty() {
            let end = whole_events(&piece);
            if end == piece.len() {
                return Some(piece);
            }
            self.held.extend_from_slice(&piece[end..]);
            return (end > 0).then(|| piece.slice(..end));
        }
        // The end of an event may be split over two pieces: look back over three bytes.
        let from = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(&piece);
        let end = whole_events(&self.held[from..]);
        if end > 0 {
            return Some(self.held.split_to(from + end).freeze());
        }
        (self.held.len() > MAX_HELD).then(|| self.held.split().freeze())
    }

    /// Bytes of the event whose end has not arrived.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What is left when the stream has ended.
    pub fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

/// Length of `bytes` up to the end of the last blank line.
fn whole_events(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\n\n") {
        return bytes.len();
    }
    let lf = memmem::rfind(bytes, b"\n\n").map_or(0, |at| at + 2);
    // "\r\n\r\n", and "\n\r\n" where lines end in different ways.
    let crlf = memmem::rfind(bytes, b"\n\r\n").map_or(0, |at| at + 3);
    lf.max(crlf)
}

/// The data of each event that has any.
pub fn data_of(events: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = events.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| line.strip_prefix(b"data:"))
        .map(<[u8]>::trim_ascii)
        .filter(|data| !data.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": keep-alive\n\ndata: {\"a\":\"é\"}\n\ndata:{\"b\":2}\r\n\r\ndata: [DONE]\n\n";

    #[test]
    fn however_the_stream_is_split_whole_events_come_out_and_no_byte_is_lost() {
        for first in 0..STREAM.len() {
            for second in first..STREAM.len() {
                let mut framer = Framer::default();
                let mut out = Vec::new();
                for piece in [&STREAM[..0], ""].iter().map(|s| s.as_bytes()).chain([
                    &STREAM.as_bytes()[..first],
                    &STREAM.as_bytes()[first..second],
                    &STREAM.as_bytes()[second..],
                ]) {
                    if let Some(events) = framer.push(Bytes::copy_from_slice(piece)) {
                        assert!(
                            events.is_empty() || events.ends_with(b"\n\n") || events.ends_with(b"\n\r\n")
                        );
                        out.extend_from_slice(&events);
                    }
                }
                out.extend_from_slice(&framer.rest());
                assert_eq!(out, STREAM.as_bytes(), "{first} {second}");
            }
        }
    }

    #[test]
    fn comments_and_blank_lines_are_no_data() {
        assert_eq!(data_of(b": keep-alive\n\n: data: x\n\n\n").next(), None);
        assert_eq!(data_of(b": x\n\ndata:{\"error\":1}\n\n").next(), Some(b"{\"error\":1}".as_slice()));
    }
}
