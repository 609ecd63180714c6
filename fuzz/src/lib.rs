//! What the targets share.

use bytes::Bytes;

/// Cuts `data` into pieces, as a network does. Its last byte says where, so that an input can be read as text.
pub fn pieces(data: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(data);
    let mut state = u32::from(data.last().copied().unwrap_or_default());
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = match state >> 29 {
            0..3 => 1,
            3..6 => (state >> 16 & 0x3f) as usize + 1,
            _ => rest.len(),
        };
        pieces.push(rest.split_to(length.min(rest.len())));
    }
    pieces
}

/// The data lines of a run of events.
pub fn data_lines(events: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = events.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"data:"));
    lines.map(<[u8]>::trim_ascii).filter(|data| !data.is_empty())
}
