//! Keeps the open listeners the same as those of the configuration, across reloads.
//!
//! A listener is opened when it appears and closed when it goes; its connections end by themselves. A port that is
//! taken is tried again until it is free or no longer wanted: one listener that cannot open does not stop the others.

use crate::pipeline::Context;
use crate::server;
use deepseek_config::document::Listener;
use deepseek_crds::v1alpha1::ListenerProtocol;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How soon a port that was taken is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where listeners open.
#[derive(Clone, Copy, Debug)]
pub struct Bind {
    /// The address they listen on.
    pub host: IpAddr,
    /// Address and port of the first one, whatever its document says.
    pub first: Option<SocketAddr>,
}

/// What became of the listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Whether all of them were open at some time.
    pub complete: bool,
    /// Those that are open, as URLs.
    pub urls: BTreeMap<String, String>,
    /// Why others are not.
    pub failed: BTreeMap<String, String>,
}

/// Opens and closes listeners.
pub struct Listeners {
    context: Arc<Context>,
    bind: Bind,
    joined: watch::Receiver<u64>,
    listening: watch::Sender<Listening>,
    open: Vec<Open>,
}

struct Open {
    listener: Listener,
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Listeners {
    /// Follows the listeners of whatever `context` serves by; `joined` says when that changes.
    pub fn new(context: Arc<Context>, bind: Bind, joined: watch::Receiver<u64>) -> Self {
        Self { context, bind, joined, listening: watch::Sender::default(), open: Vec::new() }
    }

    /// What is open, now and later.
    pub fn listening(&self) -> watch::Receiver<Listening> {
        self.listening.subscribe()
    }

    /// Follows the configuration until the drain closes the listeners.
    pub async fn run(mut self) {
        let closing = self.context.drain.closing();
        tokio::pin!(closing);
        loop {
            let mut complete = true;
            if *self.joined.borrow_and_update() > 0 {
                complete = self.follow().await;
            }
            tokio::select! {
                () = &mut closing => return,
                changed = self.joined.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if !complete => (),
            }
        }
    }

    /// Opens and closes what differs. Returns whether every listener is open.
    async fn follow(&mut self) -> bool {
        let wanted = self.context.snapshot.load().settings.listeners.clone();
        if wanted.is_empty() {
            return true; // the gateway's own document is not there (any more): what is open stays open
        }
        self.open.retain(|open| {
            let keep = wanted.iter().any(|listener| same_socket(listener, &open.listener));
            if !keep {
                open.accepting.abort();
                tracing::info!(listener = open.listener.name, "listener closed");
            }
            keep
        });
        let mut listening = Listening { complete: true, ..Listening::default() };
        for (index, listener) in wanted.iter().enumerate() {
            let opened = match self.open.iter().find(|open| same_socket(listener, &open.listener)) {
                Some(open) => Ok(open.address),
                None => self.open(index, listener).await,
            };
            match opened {
                Ok(address) => {
                    let scheme = match listener.protocol {
                        ListenerProtocol::HTTP => "http",
                        ListenerProtocol::HTTPS => "https",
                    };
                    listening.urls.insert(listener.name.clone(), format!("{scheme}://{address}"));
                }
                Err(error) => {
                    listening.failed.insert(listener.name.clone(), error);
                }
            }
        }
        let all_open = listening.failed.is_empty();
        self.listening.send_if_modified(|before| {
            listening.complete = all_open || before.complete;
            let changed = *before != listening;
            for (name, error) in &listening.failed {
                if before.failed.get(name) != Some(error) {
                    tracing::error!(listener = name, error, "listener cannot open, trying again");
                }
            }
            *before = listening;
            changed
        });
        all_open
    }

    async fn open(&mut self, index: usize, listener: &Listener) -> Result<SocketAddr, String> {
        let (host, port) = match self.bind.first {
            Some(first) if index == 0 => (first.ip(), first.port()),
            _ => (self.bind.host, listener.port),
        };
        let placed = Listener { port, ..listener.clone() };
        let bound = server::bind(&placed, host).await.map_err(|error| format!("{host}:{port}: {error}"))?;
        let address = bound.address;
        let accepting = tokio::spawn(server::serve(bound, Arc::clone(&self.context))).abort_handle();
        tracing::info!(listener = listener.name, %address, "listener open");
        self.open.push(Open { listener: listener.clone(), address, accepting });
        Ok(address)
    }
}

/// Whether one open socket serves both: a renewed certificate needs no new one.
fn same_socket(a: &Listener, b: &Listener) -> bool {
    (&a.name, a.port, a.protocol) == (&b.name, b.port, b.protocol)
}

/// The address that means every address: of both families where the machine has IPv6.
pub fn everywhere() -> IpAddr {
    let v6 = IpAddr::from([0_u16; 8]);
    if std::net::TcpListener::bind((v6, 0)).is_ok() { v6 } else { IpAddr::from([0_u8; 4]) }
}
