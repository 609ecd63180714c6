//! Recorded answers, sent again as they were.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use bytes::Bytes;
use memchr::memmem;

use crate::{
    answer::Ask,
    scenario::Scenario,
    wire::sse::{Frame, Frames, Framing, Part},
};

/// Recorded answers by name.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    whole: BTreeMap<String, Bytes>,
    streams: BTreeMap<String, Stream>,
}

/// A recorded stream.
#[derive(Debug)]
enum Stream {
    /// The data of each frame, to be framed as the scenario wants.
    Chunks(Arc<[String]>),
    /// The very bytes.
    Raw(Arc<[Bytes]>),
}

impl Recordings {
    /// Reads `NAME.json`, `NAME.chunks.txt` and `NAME.sse` of a directory.
    pub(crate) fn load(directory: &Path) -> io::Result<Self> {
        let mut recordings = Self::default();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(name) = file.strip_suffix(".chunks.txt") {
                let text = std::fs::read_to_string(&path)?;
                let chunks = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
                recordings.streams.insert(name.to_owned(), Stream::Chunks(chunks));
            } else if let Some(name) = file.strip_suffix(".sse") {
                let events = events(std::fs::read(&path)?.into());
                recordings.streams.insert(name.to_owned(), Stream::Raw(events));
            } else if let Some(name) = file.strip_suffix(".json") {
                recordings.whole.insert(name.to_owned(), std::fs::read(&path)?.into());
            }
        }
        if recordings.whole.is_empty() && recordings.streams.is_empty() {
            let message = format!("{} holds no NAME.json, NAME.chunks.txt or NAME.sse", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(recordings)
    }

    /// A whole answer.
    pub(crate) fn whole(&self, name: &str, ask: &Ask) -> Option<Bytes> {
        self.whole.get(&picked(name, ask, &self.whole)).cloned()
    }

    /// A stream.
    pub(crate) fn frames(&self, name: &str, ask: &Ask, scenario: &Scenario) -> Option<Frames> {
        let framing = Framing::of(scenario);
        Some(match self.streams.get(&picked(name, ask, &self.streams))? {
            Stream::Chunks(chunks) => {
                let chunks = chunks.clone();
                let data = (0..chunks.len()).map(move |index| {
                    let part = if index + 1 == chunks.len() { Part::Finish } else { Part::Data };
                    framing.data(part, &chunks[index])
                });
                let done: Frame = framing.data(Part::Done, "[DONE]");
                Box::new(data.chain(std::iter::once(done)))
            }
            Stream::Raw(events) => {
                let events = events.clone();
                Box::new(
                    (0..events.len())
                        .map(move |index| Frame { part: Part::Data, bytes: events[index].clone() }),
                )
            }
        })
    }
}

/// A stream's bytes, event by event; a last one without its blank line as it is.
fn events(mut bytes: Bytes) -> Arc<[Bytes]> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let ends = [b"\n\n".as_slice(), b"\r\n\r\n"]
            .map(|mark| memmem::find(&bytes, mark).map(|at| at + mark.len()));
        let end = ends.into_iter().flatten().min().unwrap_or(bytes.len());
        events.push(bytes.split_to(end));
    }
    events.into()
}

/// The recording meant: the one named, or for `auto` the first whose name speaks of what the request asks for.
fn picked<T>(name: &str, ask: &Ask, known: &BTreeMap<String, T>) -> String {
    if name != "auto" {
        return name.to_owned();
    }
    let topic = match ask {
        Ask { json: true, .. } => "json",
        Ask { thinking: true, .. } => "reason",
        _ => "text",
    };
    let found = known.keys().find(|name| name.contains(topic)).or_else(|| known.keys().next());
    found.cloned().unwrap_or_default()
}
