//! What the compilation of one resource carries along.

use super::{Compilation, Finding, Output, Verdict};
use crate::document::{Body, Document, FORMAT, ObjectId};
use crate::keys::KeyId;
use crate::world::World;
use deepseek_crds::conditions::Reason;
use deepseek_crds::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::fmt::Display;

/// Problems told of one resource; the rest is only counted.
const MAX_TOLD: usize = 16;

/// The compilation of one resource.
pub(crate) struct Cx<'a> {
    pub world: &'a World,
    pub id: &'a ObjectId,
    pub keys: BTreeMap<KeyId, Vec<u8>>,
    accepted: Problems,
    refs: Problems,
    /// Said of a resource that is accepted all the same.
    remark: Option<(Reason, String)>,
}

#[derive(Default)]
struct Problems {
    reason: Option<Reason>,
    told: Vec<String>,
    untold: usize,
}

impl<'a> Cx<'a> {
    pub fn new(world: &'a World, id: &'a ObjectId) -> Self {
        let mut cx = Self {
            world,
            id,
            keys: BTreeMap::new(),
            accepted: Problems::default(),
            refs: Problems::default(),
            remark: None,
        };
        cx.check_name();
        cx
    }

    /// `path` holds a value that cannot be used. `text` says why and what to do, as sentences.
    pub fn invalid(&mut self, path: impl Display, text: impl Display) {
        self.refuse(Reason::Invalid, path, text);
    }

    /// Condition `Accepted` is false.
    pub fn refuse(&mut self, reason: Reason, path: impl Display, text: impl Display) {
        self.accepted.add(reason, &path, &text);
    }

    /// Condition `ResolvedRefs` is false.
    pub fn unresolved(&mut self, reason: Reason, path: impl Display, text: impl Display) {
        self.refs.add(reason, &path, &text);
    }

    /// The resource is accepted, but there is something to say.
    pub fn remark(&mut self, reason: Reason, text: String) {
        self.remark = Some((reason, text));
    }

    pub fn ok(&self) -> bool {
        self.accepted.reason.is_none() && self.refs.reason.is_none()
    }

    /// Checks that `value` is in `range` and gives it back; `default` when it is left out. An out-of-range value is told
    /// and replaced by the default, which nobody sees, as the resource is refused.
    pub fn number(
        &mut self,
        path: impl Display,
        value: Option<impl Into<i64>>,
        range: std::ops::RangeInclusive<i64>,
        default: u64,
    ) -> u64 {
        let Some(value) = value.map(Into::into) else { return default };
        if range.contains(&value) {
            value.unsigned_abs()
        } else {
            let (min, max) = range.into_inner();
            self.invalid(path, format_args!("{value} is out of range. Use {min} to {max}."));
            default
        }
    }

    /// As [`Self::number`], for what fits into 32 bits.
    pub fn small(
        &mut self,
        path: impl Display,
        value: Option<i32>,
        range: std::ops::RangeInclusive<i64>,
        default: u32,
    ) -> u32 {
        u32::try_from(self.number(path, value, range, default.into())).unwrap_or(default)
    }

    pub fn finish(self, meta: &ObjectMeta, mut gateways: Vec<ObjectId>, body: Option<Body>) -> Compilation {
        if !self.ok() {
            gateways.clear();
        }
        let document = body.map(|body| Document {
            format: FORMAT,
            id: self.id.clone(),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            body,
        });
        let outputs = match document {
            Some(document) => gateways
                .into_iter()
                .map(|gateway| Output { gateway, document: document.clone(), keys: self.keys.clone() })
                .collect(),
            None => Vec::new(),
        };
        let (reason, message) =
            self.remark.unwrap_or_else(|| (Reason::Accepted, "The spec is valid.".to_owned()));
        let accepted = self.accepted.finding(reason, message);
        let resolved_refs =
            self.refs.finding(Reason::ResolvedRefs, "Every reference was found and is permitted.".to_owned());
        Compilation { verdict: Verdict { accepted, resolved_refs }, outputs }
    }

    fn check_name(&mut self) {
        let (kind, length) = (self.id.kind, self.id.name.len());
        let max = labels::max_name_length(kind.as_str());
        if length > max {
            self.invalid(
                "metadata.name",
                format_args!(
                    "the name of a {} is at most {max} characters, this one has {length}. \
                     Choose a shorter one.",
                    kind.as_str()
                ),
            );
        }
    }
}

impl Problems {
    fn add(&mut self, reason: Reason, path: &impl Display, text: &impl Display) {
        self.reason.get_or_insert(reason);
        let problem = format!("{path}: {text}");
        if self.told.last() == Some(&problem) {
            return;
        }
        if self.told.len() < MAX_TOLD {
            self.told.push(problem);
        } else {
            self.untold += 1;
        }
    }

    fn finding(self, good: Reason, message: String) -> Finding {
        let Some(reason) = self.reason else { return Finding { ok: true, reason: good, message } };
        let mut told = self.told;
        if self.untold > 0 {
            told.push(format!("And {} more.", self.untold));
        }
        let message = told.join(" ");
        Finding { ok: false, reason, message }
    }
}
