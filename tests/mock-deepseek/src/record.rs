//! What is kept of each request, and how it ended.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, request::Parts};
use serde::Serialize;

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not ended.
    #[default]
    InFlight,
    /// The whole answer was handed to the connection.
    Completed,
    /// The client went away first.
    Cancelled,
    /// The scenario ended it: a cut, a reset, a kill.
    Faulted,
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its number, from 1, in order of arrival.
    pub id: u64,
    /// The number of its connection, from 1.
    pub connection: u64,
    /// When its head had arrived.
    pub arrived: Instant,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The headers as received.
    pub headers: HeaderMap,
    /// The body as received; empty if it never came whole.
    pub body: Bytes,
    /// The API key, if there was one.
    pub key: Option<String>,
    /// The model the body names, if it does.
    pub model: Option<String>,
    /// The scenario's label.
    pub scenario: String,
    /// The status answered, once the head was handed to the connection.
    pub status: Option<StatusCode>,
    /// Frames of the answer handed to the connection so far.
    pub frames: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub ended: Option<Instant>,
    /// The same from its arrival: for a cancelled one, when the cancellation was seen.
    pub ended_after: Option<Duration>,
}

impl Recorded {
    /// A request of which the head has arrived.
    pub(crate) fn new(id: u64, connection: u64, head: &Parts, arrived: Instant) -> Self {
        Self {
            id,
            connection,
            arrived,
            method: head.method.clone(),
            path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: head.headers.clone(),
            body: Bytes::new(),
            key: None,
            model: None,
            scenario: String::new(),
            status: None,
            frames: 0,
            outcome: Outcome::InFlight,
            ended: None,
            ended_after: None,
        }
    }

    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The newest requests, by their number.
#[derive(Debug, Default)]
pub(crate) struct Records {
    kept: VecDeque<Recorded>,
    limit: usize,
}

impl Records {
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit }
    }

    pub(crate) fn push(&mut self, record: Recorded) {
        if self.limit > 0 && self.kept.len() >= self.limit {
            self.kept.pop_front();
        }
        self.kept.push_back(record);
    }

    pub(crate) fn update(&mut self, id: u64, change: impl FnOnce(&mut Recorded)) {
        // Numbers are consecutive, so the place follows from the first one kept.
        let first = self.kept.front().map_or(0, |record| record.id);
        let place = id.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(record) = place.and_then(|place| self.kept.get_mut(place)) {
            change(record);
        }
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.kept.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
