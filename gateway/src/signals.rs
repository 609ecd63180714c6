//! SIGTERM and SIGINT: the first asks to leave, the second to do so at once.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How many signals have come.
#[derive(Clone, Debug)]
pub struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        let (sender, receiver) = watch::channel(0);
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    sender.send_modify(|count| *count += 1);
                }
            });
        }
        Ok(Self(receiver))
    }

    /// Resolves with the first signal.
    pub async fn first(&self) {
        self.reach(1).await;
    }

    /// Resolves with the second signal.
    pub async fn second(&self) {
        self.reach(2).await;
    }

    async fn reach(&self, count: u32) {
        let _ = self.0.clone().wait_for(|seen| *seen >= count).await;
    }
}
