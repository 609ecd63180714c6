//! Single events of a run of whole ones.

use bytes::Bytes;
use memchr::memchr_iter;

/// Splits `run` after each blank line. What follows the last one is an event as well.
pub fn events(run: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = run.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = first_end(&rest);
        Some(rest.split_to(end))
    })
}

/// The length of the first event with its blank line.
fn first_end(bytes: &[u8]) -> usize {
    let ends = memchr_iter(b'\n', bytes).find(|at| {
        let line = &bytes[..*at];
        line.ends_with(b"\n") || line.ends_with(b"\n\r") || line.is_empty() || line == b"\r"
    });
    ends.map_or(bytes.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_split_after_blank_lines_and_no_byte_is_lost() {
        let run = Bytes::from_static(b": ping\n\ndata: 1\n\n\ndata: 2\r\n\r\nevent: x\ndata: 3");
        let split: Vec<_> = events(&run).collect();
        assert_eq!(split, [": ping\n\n", "data: 1\n\n", "\n", "data: 2\r\n\r\n", "event: x\ndata: 3"]);
    }
}
