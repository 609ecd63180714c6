//! Answers from precomputed bytes, for measuring what stands in front: per request, one search of the body and no JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use memchr::memmem;

use crate::{
    Options, Scenario,
    answer::{Ask, answer},
    play::Reply,
    wire::chat,
};

/// The precomputed answers.
#[derive(Debug)]
pub(crate) struct Bench {
    whole: Bytes,
    frames: Arc<[Bytes]>,
}

impl Bench {
    pub(crate) fn new(scenario: &Scenario, options: &Options) -> Self {
        let model = options.models.first().cloned().unwrap_or_else(|| "bench".to_owned());
        let ask = Ask { model, text: "bench".into(), prompt_tokens: 16, ..Ask::default() };
        let answer = answer(&ask, scenario, options, b"bench");
        let whole = chat::whole(&answer).into();
        Self { whole, frames: chat::frames(&answer).map(|frame| frame.bytes).collect() }
    }

    /// Answers a chat request.
    pub(crate) fn reply(&self, body: &[u8]) -> Response<Reply> {
        let is_stream = memmem::find(body, b"\"stream\":true")
            .or_else(|| memmem::find(body, b"\"stream\": true"))
            .is_some();
        let (reply, content_type) = if is_stream {
            let frames = self.frames.clone();
            (Reply::Bench { frames, next: 0, flush: false }, "text/event-stream; charset=utf-8")
        } else {
            (Reply::known(self.whole.clone(), None), "application/json")
        };
        let mut response = Response::new(reply);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}
