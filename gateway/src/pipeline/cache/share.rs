//! One call for everybody who asks the same: a kept answer, a place at one that is in flight, or a call of its own.

use super::follow::Follower;
use super::key::InFlightKey;
use super::recording::{End, Head, Reader, Recording};
use super::store::Kept;
use super::{Cache, Found, Part};
use crate::pipeline::dispatch::Errand;
use crate::pipeline::endpoint::Endpoint;
use crate::pipeline::error::Code;
use crate::pipeline::fallback;
use crate::pipeline::frames::data_of;
use crate::pipeline::opening::{Opening, begin, run};
use crate::pipeline::relay::{Form, Manner, Relay};
use crate::pipeline::reply::ReplyBody;
use crate::pipeline::settle::Source;
use crate::pipeline::tap::{Tap, Usage};
use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{StatusCode, header};
use memchr::memmem;
use serde::de::IgnoredAny;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The call gives no signs of life: each of its readers does.
const NEVER: Duration = Duration::from_hours(24);
/// The most of an answer in one piece that is collected before anybody hears of it.
const MAX_WHOLE: usize = 1 << 20;
/// How long the backend may take to end its body after the end mark.
const LINGER: Duration = Duration::from_secs(1);
/// What the last event of a stream says.
const END_MARKS: [&[u8]; 2] = [b"data: [DONE]", b"message_stop"];
/// A finish reason of an answer that the platform gave up: nobody wants that again.
const GIVEN_UP: &[u8] = b"\"insufficient_system_resource\"";

/// How a call with a part in the cache is answered.
pub fn answer(mut errand: Errand, part: Part) -> (Option<Found>, BoxFuture<'static, Opening>) {
    let told = |found| part.is_cached().then_some(found);
    let shared = Arc::clone(&errand.settlement.shared);
    if let Some(kept) = shared.cache.fresh(&part) {
        errand.settlement.source = Source::Cache(kept.usage);
        let opening = Opening::Whole(kept.response(), Some(errand.settlement));
        return (told(Found::Hit), std::future::ready(opening).boxed());
    }
    match place(&shared.cache, &errand, &part) {
        Place::Joined(reader) => {
            errand.settlement.source = Source::Merged;
            // It is not asked, so its prompt is not kept.
            errand.settlement.held.give_back();
            (told(Found::Merged), Follower::open(reader, Some(errand.settlement)).boxed())
        }
        Place::First(call, reader) => {
            tokio::spawn(call.fill(errand, part));
            (told(Found::Miss), Follower::open(reader, None).boxed())
        }
    }
}

/// Where a call stands among identical ones.
enum Place {
    Joined(Reader),
    First(SharedCall, Reader),
}

fn place(cache: &Arc<Cache>, errand: &Errand, part: &Part) -> Place {
    let (recording, reader) = Recording::begin(&cache.budget);
    let mut call = SharedCall { cache: Arc::clone(cache), recording, key: None };
    if !part.merges {
        return Place::First(call, reader);
    }
    let allowed = errand.deadline.saturating_duration_since(errand.settlement.started.into());
    let key = (part.key, allowed, errand.spare.is_some());
    let mut in_flight = cache.in_flight.lock();
    if let Some(reader) = in_flight.get(&key).filter(|_| part.shares).and_then(Recording::join) {
        return Place::Joined(reader);
    }
    in_flight.insert(key, Arc::clone(&call.recording));
    call.key = Some(key);
    Place::First(call, reader)
}

/// A call that is made once for all who wait for it. Dropping it ends it for them.
struct SharedCall {
    cache: Arc<Cache>,
    recording: Arc<Recording>,
    /// Under which it can be found.
    key: Option<InFlightKey>,
}

impl Drop for SharedCall {
    fn drop(&mut self) {
        self.close();
        self.recording.finish(End::Cut);
    }
}

impl SharedCall {
    /// Makes the call, as long as somebody waits for it, and keeps its answer.
    async fn fill(self, errand: Errand, part: Part) {
        let mut pass = std::pin::pin!(self.pass(errand, &part));
        tokio::select! {
            biased;
            () = &mut pass => {}
            () = self.recording.abandoned() => {
                // A client may leave as soon as it has seen the end mark: nothing is missing then.
                if self.recording.last_has(END_MARKS) {
                    let _ = timeout(LINGER, pass).await;
                }
            }
        }
    }

    async fn pass(&self, errand: Errand, part: &Part) {
        let endpoint = errand.call.endpoint;
        let form = if errand.call.stream { Form::Events(endpoint) } else { Form::Plain };
        let manner = Manner { form, interval: NEVER, deadline: errand.deadline };
        let (head, body) = begin(run(errand).await, manner).into_parts();
        let refused = head.extensions.get::<Code>().copied();
        let mut headers = head.headers;
        // What it says of the length is for one connection; each reader has its own.
        headers.remove(header::CONTENT_LENGTH);
        let head = Head { status: head.status, headers, refused };
        let (whole, end) = match body {
            ReplyBody::Full(full) => (Some(full.bytes), End::Complete),
            ReplyBody::Relay(mut relay) if is_stream(&head) => {
                self.recording.head(head.clone());
                (None, self.rest(&mut relay).await)
            }
            ReplyBody::Relay(mut relay) => match collect(&mut relay).await {
                (body, Some(End::Complete)) => (Some(body), End::Complete),
                (first, end) => {
                    self.recording.head(head.clone());
                    self.recording.push(first).await;
                    (None, if let Some(end) = end { end } else { self.rest(&mut relay).await })
                }
            },
        };
        // Who has seen the end and asks again finds it kept, and is not given an old failure.
        if end == End::Complete
            && let Some(body) = whole.as_deref().map(Bytes::copy_from_slice).or_else(|| self.recording.held())
            && let Some(kept) = worth_keeping(endpoint, &head, body, part)
        {
            self.cache.store.put(part.key, kept);
        }
        self.close();
        match whole {
            Some(body) => self.recording.whole(head, body, end),
            None => self.recording.finish(end),
        }
    }

    /// From now on nobody joins.
    fn close(&self) {
        let Some(key) = self.key else { return };
        let mut in_flight = self.cache.in_flight.lock();
        if in_flight.get(&key).is_some_and(|other| Arc::ptr_eq(other, &self.recording)) {
            in_flight.remove(&key);
        }
    }

    /// Passes on what is left.
    async fn rest(&self, relay: &mut Relay) -> End {
        loop {
            match poll_fn(|cx| relay.poll_chunk(cx)).await {
                Some(Ok(piece)) => {
                    if relay.has_failed() {
                        self.close();
                    }
                    self.recording.push(piece).await;
                }
                Some(Err(_)) => return End::Cut,
                None if relay.is_complete() => return End::Complete,
                None => return End::Told,
            }
        }
    }
}

/// What has come of an answer in one piece, and how it ended, where it is not too large to wait for that.
async fn collect(relay: &mut Relay) -> (Bytes, Option<End>) {
    let mut body = BytesMut::new();
    let mut end = None;
    while end.is_none() && body.len() <= MAX_WHOLE {
        match poll_fn(|cx| relay.poll_chunk(cx)).await {
            Some(Ok(piece)) => body.extend_from_slice(&piece),
            Some(Err(_)) => end = Some(End::Cut),
            None => end = Some(if relay.is_complete() { End::Complete } else { End::Told }),
        }
    }
    (body.freeze(), end)
}

/// Whether it begins as an event stream.
pub(super) fn is_stream(head: &Head) -> bool {
    let media_type =
        head.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    media_type.get(..17).is_some_and(|text| text.eq_ignore_ascii_case(b"text/event-stream"))
}

/// A good and whole answer of the model that was asked for.
fn worth_keeping(endpoint: Endpoint, head: &Head, body: Bytes, part: &Part) -> Option<Kept> {
    let content_type = head.headers.get(header::CONTENT_TYPE)?.clone();
    // What is given again has no headers but its type: a compressed answer could not be read.
    let good = head.status == StatusCode::OK
        && head.refused.is_none()
        && !head.headers.contains_key(header::CONTENT_ENCODING)
        && !head.headers.contains_key(fallback::HEADER);
    let gave_up = memmem::find(&body, GIVEN_UP).is_some();
    let sound = !is_stream(head) || has_nothing_but_json(&body);
    if !good
        || !sound
        || gave_up
        || body.is_empty()
        || endpoint == Endpoint::Messages && has_error_event(&body)
    {
        return None;
    }
    let since = Instant::now();
    let until = part.ttl.map(|ttl| since + ttl).filter(|_| !part.lasts);
    let usage = usage(&body);
    Some(Kept { content_type, body, since, until, usage })
}

/// Whether every event can be read: one that cannot be has passed once, and is not to come again.
fn has_nothing_but_json(events: &[u8]) -> bool {
    data_of(events).all(|data| data == b"[DONE]" || serde_json::from_slice::<IgnoredAny>(data).is_ok())
}

/// Anthropic's streams can end with an error.
fn has_error_event(events: &[u8]) -> bool {
    let mut names = events.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(b"event:"));
    names.any(|name| name.trim_ascii() == b"error")
}

fn usage(body: &[u8]) -> Option<Usage> {
    let mut tap = Tap::default();
    tap.feed(body);
    tap.usage()
}
