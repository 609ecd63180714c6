//! The reader of event streams: no byte is lost, only whole events come out, and what is seen in them does not depend
//! on how the network cut the stream.
#![no_main]

use bytes::Bytes;
use deepseek_fuzz::pieces;
use deepseek_gateway::pipeline::endpoint::Endpoint;
use deepseek_gateway::pipeline::frames::Framer;
use deepseek_gateway::pipeline::watch::Watch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for endpoint in [Endpoint::Chat, Endpoint::Messages] {
        let cut = read(endpoint, data, pieces(data));
        let whole = read(endpoint, data, vec![Bytes::copy_from_slice(data)]);
        assert_eq!(cut, whole, "seen differently when cut");
    }
});

/// How many events with data were seen, how many of garbage, whether it finished, whether it broke.
fn read(endpoint: Endpoint, data: &[u8], pieces: Vec<Bytes>) -> (u32, u32, bool, bool) {
    let (mut framer, mut watch) = (Framer::default(), Watch::new(endpoint, true, 2));
    let (mut out, mut seen) = (Vec::new(), (0, 0, false, false));
    for piece in pieces {
        let Some(events) = framer.push(piece) else { continue };
        assert!(
            events.is_empty() || events.ends_with(b"\n\n") || events.ends_with(b"\n\r\n"),
            "half an event"
        );
        out.extend_from_slice(&events);
        if !seen.3 {
            let look = watch.look(&events);
            assert!(look.broken.is_none_or(|(at, _)| at < events.len()));
            seen = (seen.0 + look.data, seen.1 + look.garbage, watch.finished(), look.broken.is_some());
        }
    }
    out.extend_from_slice(&framer.rest());
    assert_eq!(out, data, "bytes lost");
    seen
}
