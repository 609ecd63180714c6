//! Ctrl-C and its kin, as something to wait for instead of the end.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// From its making on, no signal ends the process.
pub(crate) struct Asked(Receiver<()>);

impl Asked {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("failed to listen for signals")?;
        let (send, asked) = mpsc::channel();
        thread::spawn(move || {
            for _ in signals.forever() {
                if send.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(Self(asked))
    }

    /// Whether somebody asked us to end, within this time.
    pub(crate) fn within(&self, time: Duration) -> bool {
        !matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}
