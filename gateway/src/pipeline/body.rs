//! Reading the request body: whole, up to a limit, in time.

use super::error::{Code, GatewayError};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::time::Duration;

/// How long a client may take to send its body.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Reads the whole body. One that arrives in one piece is not copied.
pub async fn read(headers: &HeaderMap, body: Incoming, limit: u64) -> Result<Bytes, GatewayError> {
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
    tokio::time::timeout(READ_TIMEOUT, collect(body, limit)).await.unwrap_or_else(|_| {
        let message = format!("The request body did not arrive within {} seconds.", READ_TIMEOUT.as_secs());
        Err(GatewayError::new(Code::RequestTimeout, message))
    })
}

async fn collect(mut body: Incoming, limit: u64) -> Result<Bytes, GatewayError> {
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    if body.size_hint().exact() == Some(0) && first.len() as u64 <= limit {
        return Ok(first);
    }
    let expected = usize::try_from(body.size_hint().lower().min(limit)).unwrap_or(0);
    let mut whole = BytesMut::with_capacity(first.len() + expected);
    whole.extend_from_slice(&first);
    while whole.len() as u64 <= limit {
        match next(&mut body).await? {
            Some(chunk) => whole.extend_from_slice(&chunk),
            None => return Ok(whole.freeze()),
        }
    }
    Err(too_large(limit))
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
