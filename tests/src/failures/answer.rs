//! An answer as a client got it, read with an OpenAI client's eyes.

use crate::calls::payloads;
use anyhow::{Context as _, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use std::time::{Duration, Instant};

/// All that a client got of one answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as far as it came.
    pub body: String,
    /// Whether the connection broke before the end of the body.
    pub broke: bool,
    /// From the call to the end of the body.
    pub took: Duration,
}

impl Answer {
    /// Sends a call and reads its answer to the end.
    pub async fn to(call: RequestBuilder) -> Result<Self> {
        let started = Instant::now();
        Self::rest_of(call.send().await.context("no answer at all")?, started).await
    }

    /// Reads the rest of an answer whose call began at `started`.
    pub async fn rest_of(mut response: Response, started: Instant) -> Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        let broke = loop {
            match response.chunk().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        let body = String::from_utf8(body).context("the body is not UTF-8")?;
        Ok(Self { status, headers, body, broke, took: started.elapsed() })
    }

    /// The end of the body, for messages.
    pub fn end(&self) -> &str {
        let from = self.body.len().saturating_sub(600);
        self.body.get(from..).unwrap_or(&self.body)
    }

    /// Whether it is a stream of events.
    pub fn is_stream(&self) -> bool {
        let kind = self.headers.get("content-type").and_then(|value| value.to_str().ok());
        kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The frames of a stream that are JSON, in order.
    pub fn frames(&self) -> Vec<Value> {
        payloads(&self.body).into_iter().filter_map(|payload| serde_json::from_str(payload).ok()).collect()
    }

    /// What the assistant says in `field` (`content`, `reasoning_content`).
    pub fn text(&self, field: &str) -> String {
        if self.is_stream() {
            let frames = self.frames();
            let texts = frames.iter().filter_map(|frame| frame["choices"][0]["delta"][field].as_str());
            return texts.collect();
        }
        self.json()["choices"][0]["message"][field].as_str().unwrap_or_default().to_owned()
    }

    /// The name of the fake that answered: its texts begin with it.
    pub fn by(&self) -> String {
        let content = self.text("content");
        let name = content.strip_prefix('[').and_then(|rest| rest.split(' ').next());
        name.unwrap_or_default().to_owned()
    }

    /// `error.code`, of an error or of the error event that ends a stream.
    pub fn code(&self) -> Option<String> {
        let error = if self.is_stream() { self.frames().pop()? } else { self.json() };
        Some(error.get("error")?["code"].as_str().unwrap_or_default().to_owned())
    }

    /// How many finish reasons it holds.
    fn finishes(&self) -> usize {
        if !self.is_stream() {
            return usize::from(self.json()["choices"][0]["finish_reason"].is_string());
        }
        self.frames().iter().filter(|frame| frame["choices"][0]["finish_reason"].is_string()).count()
    }

    /// Fails unless it is a whole answer, from the first to the last sign.
    pub fn whole(&self) -> Result<()> {
        ensure!(self.status == 200, "{} instead of an answer: {}", self.status, self.end());
        ensure!(!self.broke, "the connection broke: {}", self.end());
        ensure!(self.finishes() == 1, "{} finish reasons: {}", self.finishes(), self.end());
        if self.is_stream() {
            let payloads = payloads(&self.body);
            let marks = payloads.iter().filter(|payload| **payload == "[DONE]").count();
            ensure!(marks == 1 && payloads.last() == Some(&"[DONE]"), "not one end mark: {}", self.end());
            ensure!(!self.body.contains("\"error\""), "an error in it: {}", self.end());
        }
        Ok(())
    }

    /// Fails unless it is a whole answer of the fake with this name.
    pub fn whole_by(&self, name: &str) -> Result<()> {
        self.whole()?;
        ensure!(self.by() == name, "{name} should have answered: {}", self.end());
        Ok(())
    }

    /// Fails unless it is a stream that ends with one error event, and with no end mark.
    pub fn interrupted(&self) -> Result<()> {
        ensure!(self.status == 200 && self.is_stream(), "not a stream that began: {}", self.end());
        let payloads = payloads(&self.body);
        ensure!(!payloads.contains(&"[DONE]"), "presented as a success: {}", self.end());
        let errors = payloads.iter().filter(|payload| payload.starts_with("{\"error\"")).count();
        ensure!(errors == 1, "{errors} error events: {}", self.end());
        ensure!(self.code().as_deref() == Some("stream_interrupted"), "the last event: {}", self.end());
        Ok(())
    }

    /// Fails unless it is an error with this status and code.
    pub fn refused(&self, status: u16, code: &str) -> Result<()> {
        let got = (self.status, self.code().unwrap_or_default());
        ensure!(got == (status, code.to_owned()), "{status} {code} was due: {} {}", self.status, self.end());
        Ok(())
    }

    /// In a few words.
    pub fn describe(&self) -> String {
        match self.code() {
            Some(code) if self.is_stream() => {
                format!("{}, {} frames, then the error `{code}`", self.status, self.frames().len() - 1)
            }
            Some(code) => format!("{} `{code}`", self.status),
            None if self.whole().is_ok() => format!("{}, the whole answer of {}", self.status, self.by()),
            None => format!("{}, a part of an answer", self.status),
        }
    }
}
