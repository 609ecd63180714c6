//! From frames to steps: where a scenario waits, breaks, or ends an answer. Pure and lazy: no clock, no socket.
//!
//! A new fault is a few lines here: what it does to the frame that is next, or which step it adds.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    scenario::{Cut, Scenario, Then},
    wire::sse::{Frame, Frames, Framing, Part},
};

/// What to do next with a response body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send, and flush.
    Send(Bytes),
    /// Count a frame of the answer as sent.
    Sent,
    /// Wait.
    Wait(Duration),
    /// Do nothing more, for ever.
    Stall,
    /// Send this again and again.
    Forever { every: Duration, bytes: Bytes },
    /// Break the body off and close the connection.
    Cut,
    /// Reset the connection.
    Reset,
    /// Close the connection once the body has ended well.
    CloseAfter,
}

/// What the answer is made of, for the spelling of keep-alives and errors.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) scenario: Scenario,
    pub(crate) is_stream: bool,
    /// The error frame, should one be needed.
    pub(crate) error: Frame,
}

/// The steps of an answer.
pub(crate) struct Script {
    frames: Frames,
    setting: Setting,
    queue: VecDeque<Step>,
    sent: u32,
    /// Bytes planned so far.
    bytes: usize,
    begun: bool,
    over: bool,
    /// Whether nothing may follow any more, not even what is planned with the last frame.
    is_cut: bool,
}

impl Script {
    pub(crate) fn new(frames: Frames, setting: Setting) -> Self {
        Self {
            frames,
            setting,
            queue: VecDeque::new(),
            sent: 0,
            bytes: 0,
            begun: false,
            over: false,
            is_cut: false,
        }
    }

    fn keep_alive(&self) -> Bytes {
        if self.setting.is_stream {
            Framing::of(&self.setting.scenario).comment("keep-alive")
        } else {
            Bytes::from_static(b"\n")
        }
    }

    fn begin(&mut self) {
        let Scenario { keep_alives, keep_alive_ms, comment_bytes, first_token_delay_ms, .. } =
            self.setting.scenario;
        for _ in 0..keep_alives {
            wait(&mut self.queue, keep_alive_ms);
            self.send(self.keep_alive());
        }
        if comment_bytes > 0 && self.setting.is_stream {
            let text = "x".repeat(comment_bytes);
            self.send(Framing::of(&self.setting.scenario).comment(&text));
        }
        wait(&mut self.queue, first_token_delay_ms);
    }

    /// Plans the next frame, or the fault in its place.
    fn advance(&mut self) {
        let Some(frame) = self.frames.next() else {
            self.over = true;
            if self.setting.scenario.stays_open {
                self.queue.push_back(Step::Stall);
            }
            if self.setting.scenario.close_after {
                self.queue.push_back(Step::CloseAfter);
            }
            return;
        };
        if self.is_due(self.setting.scenario.stall_after, &frame) {
            return self.stall();
        }
        if self.is_due(self.setting.scenario.cut_after, &frame) {
            return self.cut(&frame);
        }
        if self.is_due(self.setting.scenario.error_after, &frame) {
            return self.error();
        }
        let scenario = &self.setting.scenario;
        let dropped = match frame.part {
            Part::Finish => scenario.no_finish,
            Part::Done => scenario.no_done,
            Part::Data | Part::Usage => false,
        };
        if dropped {
            return;
        }
        if self.sent > 0 {
            wait(&mut self.queue, scenario.chunk_delay_ms);
        }
        if scenario.pause_after == Some(self.sent) {
            wait(&mut self.queue, scenario.pause_ms);
        }
        if scenario.keep_alive_between && self.setting.is_stream {
            self.send(self.keep_alive());
        }
        self.sent += 1;
        let bytes = match self.setting.scenario.garbage_at {
            Some(place) if place == self.sent => {
                Framing::of(&self.setting.scenario).data(Part::Data, "{\"id\":").bytes
            }
            _ => frame.bytes,
        };
        self.send(bytes);
        self.queue.push_back(Step::Sent);
    }

    /// A fault after n frames is due at the end of the content at the latest.
    fn is_due(&self, after: Option<u32>, next: &Frame) -> bool {
        after.is_some_and(|after| self.sent >= after || next.part != Part::Data)
    }

    fn stall(&mut self) {
        self.over = true;
        let every = Duration::from_millis(self.setting.scenario.stall_keep_alive_ms);
        let step =
            if every.is_zero() { Step::Stall } else { Step::Forever { every, bytes: self.keep_alive() } };
        self.queue.push_back(step);
    }

    fn cut(&mut self, next: &Frame) {
        if self.setting.scenario.cut == Cut::MidFrame {
            self.send(next.bytes.slice(..next.bytes.len() / 2));
        }
        self.end_cut();
    }

    /// The end of a cut answer, in the way the scenario says.
    fn end_cut(&mut self) {
        (self.over, self.is_cut) = (true, true);
        match self.setting.scenario.cut {
            Cut::Fin | Cut::MidFrame => self.queue.push_back(Step::Cut),
            Cut::Rst => self.queue.push_back(Step::Reset),
            Cut::Clean => {}
        }
    }

    fn error(&mut self) {
        self.over = true;
        self.send(self.setting.error.bytes.clone());
        match self.setting.scenario.error_then {
            Then::Close => {}
            Then::Done => {
                let done = Framing::of(&self.setting.scenario).data(Part::Done, "[DONE]");
                self.send(done.bytes);
            }
            Then::Stall => self.queue.push_back(Step::Stall),
        }
    }

    fn send(&mut self, mut bytes: Bytes) {
        if self.is_cut {
            return;
        }
        let left = self.setting.scenario.cut_at.map(|at| at.saturating_sub(self.bytes));
        let is_last = left.is_some_and(|left| bytes.len() >= left);
        bytes.truncate(left.unwrap_or(usize::MAX));
        let end = self.bytes + bytes.len();
        while let Some(size) = self.piece(bytes.len()) {
            self.bytes += size;
            self.queue.push_back(Step::Send(bytes.split_to(size)));
        }
        self.bytes = end;
        if !bytes.is_empty() {
            self.queue.push_back(Step::Send(bytes));
        }
        if is_last {
            self.end_cut();
        }
    }

    /// How much of what is next goes by itself, if not all `length` bytes of it.
    fn piece(&self, length: usize) -> Option<usize> {
        let scenario = &self.setting.scenario;
        let of_size = Some(scenario.split).filter(|size| *size > 0);
        let offsets = scenario.split_at.iter().filter_map(|at| at.checked_sub(self.bytes));
        offsets.filter(|size| *size > 0).chain(of_size).min().filter(|size| *size < length)
    }
}

fn wait(queue: &mut VecDeque<Step>, ms: u64) {
    if ms > 0 {
        queue.push_back(Step::Wait(Duration::from_millis(ms)));
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if !self.begun {
            self.begun = true;
            self.begin();
        }
        loop {
            if let Some(step) = self.queue.pop_front() {
                return Some(step);
            }
            if self.over {
                return None;
            }
            self.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(scenario: &str) -> Vec<Step> {
        let frame = |part, text: &'static str| Frame { part, bytes: Bytes::from_static(text.as_bytes()) };
        let frames = vec![
            frame(Part::Data, "a"),
            frame(Part::Data, "b"),
            frame(Part::Data, "c"),
            frame(Part::Finish, "end"),
            frame(Part::Done, "done"),
        ];
        let scenario = scenario.parse().unwrap();
        let setting = Setting { scenario, is_stream: true, error: frame(Part::Data, "error") };
        Script::new(Box::new(frames.into_iter()), setting).filter(|step| *step != Step::Sent).collect()
    }

    fn sends(scenario: &str) -> String {
        let sent = steps(scenario).into_iter().map(|step| match step {
            Step::Send(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            step => format!("{step:?}"),
        });
        sent.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_plain_answer_is_its_frames() {
        assert_eq!(sends("plain"), "a b c end done");
    }

    #[test]
    fn a_fault_after_n_frames_comes_before_the_finish_at_the_latest() {
        assert_eq!(sends("cut_after=2"), "a b Cut");
        assert_eq!(sends("cut_after=0&cut=rst"), "Reset");
        assert_eq!(sends("cut_after=9&cut=clean"), "a b c");
        assert_eq!(sends("stall_after=9"), "a b c Stall");
        assert_eq!(sends("cut_after=3&cut=mid_frame"), "a b c e Cut");
    }

    #[test]
    fn an_error_frame_can_be_the_first_or_amid_and_leave_the_stream_open() {
        assert_eq!(sends("error_after=0"), "error");
        assert_eq!(sends("error_after=1&error_then=stall"), "a error Stall");
    }

    #[test]
    fn ends_can_be_left_out() {
        assert_eq!(sends("no_done=true"), "a b c end");
        assert_eq!(sends("stays_open=true"), "a b c end done Stall");
        assert_eq!(sends("no_finish=true"), "a b c done");
        assert_eq!(sends("garbage_at=2"), "a data: {\"id\":\n\n c end done");
    }

    #[test]
    fn splitting_keeps_every_byte() {
        assert_eq!(sends("split=1"), "a b c e n d d o n e");
        assert_eq!(sends("split_at=[1,4,6,8]"), "a b c e nd do ne");
    }

    #[test]
    fn a_cut_can_be_at_any_byte() {
        assert_eq!(sends("cut_at=0"), "Cut");
        assert_eq!(sends("cut_at=4&cut=rst"), "a b c e Reset");
        assert_eq!(sends("cut_at=8&cut=clean&split_at=[7]"), "a b c end d o");
        assert_eq!(sends("cut_at=99"), "a b c end done");
    }
}
