//! `GET /models`: what this caller may use, in DeepSeek's shape.

use super::reply::{ReplyBody, full};
use crate::snapshot::{Consumer, Route, Snapshot};
use http::{HeaderValue, Response, header};
use serde::Serialize;
use std::collections::BTreeSet;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    owned_by: &'static str,
}

/// Whether `consumer` may call `route`.
pub fn may_call(consumer: &Consumer, route: &Route) -> bool {
    route
        .policy
        .access
        .as_ref()
        .is_none_or(|labels| consumer.name.as_ref() != "anonymous" && consumer.carries(labels))
}

/// The list, sorted by name.
pub fn list(snapshot: &Snapshot, consumer: &Consumer) -> Response<ReplyBody> {
    let mine = snapshot.models.iter().filter(|(_, route)| may_call(consumer, route));
    let names: BTreeSet<&str> = mine.map(|(name, _)| name.as_str()).collect();
    let data = names.into_iter().map(|id| Model { id, object: "model", owned_by: "deepseek" }).collect();
    let json = serde_json::to_vec(&List { object: "list", data }).unwrap_or_default();
    let mut response = Response::new(full(json));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
