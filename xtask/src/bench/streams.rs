//! Many streams that are open at the same time and say little, or are read slowly: what they cost in memory.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::load::{KEY, Kind};

/// How long a stream may take to begin.
const FIRST_FRAME: Duration = Duration::from_secs(30);

/// Opens `count` streams at `url` and returns when each has brought its first frame; they stay open until dropped.
///
/// Nobody reads on: what comes later waits in the kernel, where there is room for minutes of it.
pub(super) fn open(url: &str, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let address = url.trim_start_matches("http://");
    let body = Kind::Stream.request().to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut streams = Vec::with_capacity(count);
    for number in 1..=count {
        let mut stream = TcpStream::connect(address)
            .with_context(|| format!("no connection for stream {number} of {count}"))?;
        stream.set_read_timeout(Some(FIRST_FRAME))?;
        stream.write_all(request.as_bytes())?;
        streams.push(stream);
    }
    for (stream, number) in streams.iter_mut().zip(1..) {
        await_frame(stream).with_context(|| format!("stream {number} of {count} does not begin"))?;
    }
    Ok(streams)
}

/// Reads 1 KB of each stream a second, as long as `time`; calls `each_second` in between. A stream that ends is an error.
pub(super) fn read_slowly(
    streams: &mut [TcpStream],
    time: Duration,
    mut each_second: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut buffer = [0; 1024];
    while begin.elapsed() < time {
        let second = Instant::now();
        for (stream, number) in streams.iter_mut().zip(1..) {
            let read = stream.read(&mut buffer).with_context(|| format!("stream {number} broke"))?;
            anyhow::ensure!(read > 0, "stream {number} ended");
        }
        each_second()?;
        thread::sleep(Duration::from_secs(1).saturating_sub(second.elapsed()));
    }
    Ok(())
}

fn await_frame(stream: &mut TcpStream) -> anyhow::Result<()> {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains("\ndata: ") {
        let length = stream.read(&mut buffer)?;
        anyhow::ensure!(length > 0, "it ended: {seen}");
        seen += &String::from_utf8_lossy(&buffer[..length]);
    }
    anyhow::ensure!(seen.starts_with("HTTP/1.1 200 "), "the answer is {seen}");
    Ok(())
}
