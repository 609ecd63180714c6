//! Frames of server-sent events, in the spellings that servers use.

use bytes::Bytes;

use crate::scenario::Scenario;

/// What a frame is, for the faults that count or cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Content: the role, reasoning, text, a tool call.
    Data,
    /// The end of the content: carries the finish reason, and perhaps usage.
    Finish,
    /// Usage by itself.
    Usage,
    /// `[DONE]`.
    Done,
}

/// One frame, ready to send.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) part: Part,
    pub(crate) bytes: Bytes,
}

/// Frames made as they are asked for: a stream of a million tokens costs no memory.
pub(crate) type Frames = Box<dyn Iterator<Item = Frame> + Send>;

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    space: &'static str,
    line_end: &'static str,
}

impl Framing {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        Self {
            space: if scenario.no_space { "" } else { " " },
            line_end: if scenario.crlf { "\r\n" } else { "\n" },
        }
    }

    /// `data: {…}`.
    pub(crate) fn data(self, part: Part, json: &str) -> Frame {
        let Self { space, line_end } = self;
        Frame { part, bytes: format!("data:{space}{json}{line_end}{line_end}").into() }
    }

    /// `event: name`, then `data: {…}`.
    pub(crate) fn event(self, part: Part, name: &str, json: &str) -> Frame {
        let Self { space, line_end } = self;
        let text = format!("event:{space}{name}{line_end}data:{space}{json}{line_end}{line_end}");
        Frame { part, bytes: text.into() }
    }

    /// `: text`.
    pub(crate) fn comment(self, text: &str) -> Bytes {
        let Self { line_end, .. } = self;
        format!(": {text}{line_end}{line_end}").into()
    }
}
