//! An answer on its way from one call of a backend to everybody who waits for it.
//!
//! As long as all of it fits, the whole answer is held: whoever comes later reads it from its beginning, and at the end it
//! is kept. Beyond that it becomes a window: what all have read is let go, and the backend waits for the slowest.

use super::budget::Budget;
use crate::pipeline::error::Code;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use memchr::memmem;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an answer that is not held whole which the backend may be ahead of the slowest reader.
const WINDOW: usize = 64 << 10;
/// How long a reader may stand still while others of the same answer wait for more of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an answer begins.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// Its headers for the client.
    pub headers: HeaderMap,
    /// The code of an error of the gateway's own.
    pub refused: Option<Code>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is missing.
    Complete,
    /// It says itself that something is missing.
    Told,
    /// It broke off where that could not be said.
    Cut,
}

/// What a reader finds next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A piece.
    Piece(Bytes),
    /// The end.
    End(End),
    /// It was too slow: the others went on without it.
    TooSlow,
}

/// An answer on its way.
pub struct Recording {
    state: Mutex<State>,
    budget: Arc<Budget>,
}

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// From number `first` on.
    pieces: VecDeque<Bytes>,
    first: u64,
    bytes: usize,
    /// Bytes taken from the budget.
    taken: u64,
    /// The beginning was let go: nobody can join.
    window: bool,
    end: Option<End>,
    readers: BTreeMap<u64, Place>,
    next_reader: u64,
    /// Whoever fills it.
    writer: Option<Waker>,
}

/// Where a reader is.
#[derive(Default)]
struct Place {
    next: u64,
    waker: Option<Waker>,
}

/// One who reads it; dropping it leaves.
pub struct Reader {
    recording: Arc<Recording>,
    id: u64,
}

impl Recording {
    /// An answer that has not begun, and the first who waits for it.
    #[must_use]
    pub fn begin(budget: &Arc<Budget>) -> (Arc<Self>, Reader) {
        let recording = Arc::new(Self { state: Mutex::default(), budget: Arc::clone(budget) });
        let id = recording.state.lock().enter();
        let reader = Reader { recording: Arc::clone(&recording), id };
        (recording, reader)
    }

    /// One more reader from the beginning on; `None` where that was let go, or everybody has left already.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state.lock();
        let open = !state.window && !state.readers.is_empty();
        let id = open.then(|| state.enter())?;
        Some(Reader { recording: Arc::clone(self), id })
    }

    /// Says how it begins.
    pub fn head(&self, head: Head) {
        self.change(|state| state.head = Some(head));
    }

    /// Says all of it at once.
    pub fn whole(&self, head: Head, body: Bytes, end: End) {
        self.change(|state| {
            state.head = Some(head);
            self.add(state, body);
            state.end = Some(end);
        });
    }

    /// Adds a piece, as soon as the slowest reader has made room for it.
    pub async fn push(&self, piece: Bytes) {
        while timeout(PATIENCE, poll_fn(|cx| self.poll_room(cx))).await.is_err() {
            self.leave_the_slowest_behind();
        }
        self.change(|state| self.add(state, piece));
    }

    /// Says that nothing more comes, unless that was said.
    pub fn finish(&self, end: End) {
        self.change(|state| _ = state.end.get_or_insert(end));
    }

    /// Waits until nobody reads it any more.
    pub async fn abandoned(&self) {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            state.writer = Some(cx.waker().clone());
            if state.readers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// All that has come, where nothing of it was let go.
    #[must_use]
    pub fn held(&self) -> Option<Bytes> {
        let state = self.state.lock();
        (!state.window).then(|| state.joined())
    }

    /// Whether the last piece has one of `marks`.
    #[must_use]
    pub fn last_has(&self, marks: [&[u8]; 2]) -> bool {
        let state = self.state.lock();
        let last = state.pieces.back();
        last.is_some_and(|last| marks.iter().any(|mark| memmem::find(last, mark).is_some()))
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        state.writer = Some(cx.waker().clone());
        if !state.window || state.bytes < WINDOW { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Changes something and wakes whoever waits for it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wakers: Vec<_> = state.readers.values_mut().filter_map(|place| place.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn add(&self, state: &mut State, piece: Bytes) {
        let more = piece.len() as u64;
        if !state.window {
            if self.budget.take(state.taken, more) {
                state.taken += more;
            } else {
                state.window = true;
            }
        }
        state.bytes += piece.len();
        state.pieces.push_back(piece);
        self.trim(state);
    }

    /// Lets go of what all have read, where it is a window.
    fn trim(&self, state: &mut State) {
        if !state.window {
            return;
        }
        let slowest = state.readers.values().map(|place| place.next).min().unwrap_or(u64::MAX);
        while state.first < slowest
            && let Some(piece) = state.pieces.pop_front()
        {
            state.first += 1;
            state.bytes -= piece.len();
        }
        let held = state.taken.min(state.bytes as u64);
        self.budget.give_back(state.taken - held);
        state.taken = held;
    }

    /// Goes on without the reader that holds up others.
    fn leave_the_slowest_behind(&self) {
        self.change(|state| {
            let end = state.first + state.pieces.len() as u64;
            let waits = state.readers.values().any(|place| place.next == end);
            let slowest = state.readers.iter().min_by_key(|(_, place)| place.next).map(|(id, _)| *id);
            if let Some(mut place) = slowest.filter(|_| waits).and_then(|id| state.readers.remove(&id)) {
                place.waker.take().into_iter().for_each(Waker::wake);
                self.trim(state);
            }
        });
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.budget.give_back(self.state.get_mut().taken);
    }
}

impl State {
    fn enter(&mut self) -> u64 {
        let id = self.next_reader;
        self.next_reader += 1;
        self.readers.insert(id, Place::default());
        id
    }

    /// A copy of its own: pieces share their memory with what else came over the connection.
    fn joined(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.bytes);
        self.pieces.iter().for_each(|piece| all.extend_from_slice(piece));
        all.into()
    }
}

impl Reader {
    /// How it begins; `None` where it came to nothing.
    pub async fn head(&self) -> Option<Head> {
        poll_fn(|cx| {
            let mut state = self.recording.state.lock();
            if state.head.is_some() || state.end.is_some() {
                return Poll::Ready(state.head.clone());
            }
            if let Some(place) = state.readers.get_mut(&self.id) {
                place.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// All of it, where it has ended and this reader has read none of it.
    #[must_use]
    pub fn whole(&self) -> Option<(Bytes, End)> {
        let state = self.recording.state.lock();
        let untouched = state.first == 0 && state.readers.get(&self.id)?.next == 0;
        let end = state.end.filter(|end| untouched && *end != End::Cut)?;
        // Many may wait for it: what is in one piece they share.
        let body = if state.pieces.len() == 1 { state.pieces[0].clone() } else { state.joined() };
        Some((body, end))
    }

    /// What comes next.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.recording.state.lock();
        let state = &mut *state;
        let Some(place) = state.readers.get_mut(&self.id) else { return Poll::Ready(Next::TooSlow) };
        let at = usize::try_from(place.next - state.first).unwrap_or(usize::MAX);
        if let Some(piece) = state.pieces.get(at).cloned() {
            place.next += 1;
            self.recording.trim(state);
            if state.window {
                state.writer.take().into_iter().for_each(Waker::wake);
            }
            return Poll::Ready(Next::Piece(piece));
        }
        if let Some(end) = state.end {
            return Poll::Ready(Next::End(end));
        }
        place.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.recording.state.lock();
        state.readers.remove(&self.id);
        self.recording.trim(&mut state);
        if let Some(writer) = state.writer.take() {
            drop(state);
            writer.wake();
        }
    }
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
