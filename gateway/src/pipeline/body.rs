//! Reading the request body: whole, up to a limit, in time, and only where there is room for it.

use super::error::{Code, GatewayError};
use super::shed::{Buffered, Reason, Shed};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::time::Duration;

/// How long a client may take to send its body.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// How much of a body is still read after its request was refused, and for how long: a client that is cut while it sends
/// may never read why.
const LINGER: (u64, Duration) = (64 << 20, Duration::from_secs(10));

/// What bodies are read into.
pub struct Room<'a> {
    /// What one body takes of the gateway's memory.
    pub held: &'a mut Buffered,
    /// Who refuses where nothing is left.
    pub shed: &'a Shed,
}

/// Reads the whole body. One that arrives in one piece is not copied. What its head announces has to find room before
/// any of it is read.
pub async fn read(
    headers: &HeaderMap,
    body: &mut Incoming,
    limit: u64,
    mut room: Room<'_>,
) -> Result<Bytes, GatewayError> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(GatewayError::new(
            Code::UnsupportedMediaType,
            "Send the request body without Content-Encoding.",
        ));
    }
    if body.size_hint().lower() > limit {
        return Err(too_large(limit));
    }
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    room.hold(expected)?;
    tokio::time::timeout(READ_TIMEOUT, collect(body, limit, expected, room)).await.unwrap_or_else(|_| {
        let message = format!("The request body did not arrive within {} seconds.", READ_TIMEOUT.as_secs());
        Err(GatewayError::new(Code::RequestTimeout, message))
    })
}

async fn collect(
    body: &mut Incoming,
    limit: u64,
    expected: usize,
    mut room: Room<'_>,
) -> Result<Bytes, GatewayError> {
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    if body.size_hint().exact() == Some(0) && first.len() as u64 <= limit {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(expected);
    let mut chunk = Some(first);
    while let Some(more) = chunk {
        let length = whole.len() + more.len();
        if length as u64 > limit {
            return Err(too_large(limit));
        }
        if length > whole.capacity() {
            // As the buffer grows: to twice its size.
            room.hold(length.max(whole.capacity() * 2))?;
        }
        whole.extend_from_slice(&more);
        chunk = next(body).await?;
    }
    Ok(whole.freeze())
}

/// Lets the client of a refused request send what it is sending, and keeps nothing of it.
pub fn linger(head: &Parts, mut body: Incoming) {
    // HTTP/2 has a way of its own, and who waits for a go-ahead is not sending.
    let waits = head.headers.contains_key(header::EXPECT);
    if body.is_end_stream() || head.version > Version::HTTP_11 || waits {
        return;
    }
    let (most, time) = LINGER;
    tokio::spawn(tokio::time::timeout(time, async move {
        let mut left = most;
        while let Ok(Some(chunk)) = next(&mut body).await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                return;
            }
        }
    }));
}

impl Room<'_> {
    fn hold(&mut self, bytes: usize) -> Result<(), GatewayError> {
        self.held.hold(bytes).map_err(|_| self.shed.refused(Reason::BufferedBytes))
    }
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, GatewayError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            GatewayError::new(Code::IncompleteBody, "The request body broke off before its end.")
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_large(limit: u64) -> GatewayError {
    GatewayError::new(
        Code::RequestTooLarge,
        format!("The request body is larger than {limit} bytes, the most this gateway takes."),
    )
}
