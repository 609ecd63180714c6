//! Which addresses and names a node uses, so that several can run on one machine.

use std::{
    fs::{self, File, TryLockError},
    net::Ipv4Addr,
    path::Path,
};

use anyhow::Context as _;

/// Where slots are claimed: gone after a reboot, like what they stand for.
const LOCKS: &str = "/run/lock/deepseek-gateway";
const SLOTS: u8 = 64;

/// One of the places for a node on this machine; all of it in 198.18.0.0/15, which is reserved for tests.
///
/// ```text
/// 198.18.N.0/24 pods      198.18.128+N.0/30 the link: .1 this machine, .2 the node      198.19.N.0/24 Services
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u8);

impl Slot {
    /// Claims the first free slot, for as long as any copy of the file stays open.
    pub(crate) fn claim() -> anyhow::Result<(Self, File)> {
        fs::create_dir_all(LOCKS).with_context(|| format!("failed to create {LOCKS}"))?;
        for number in 0..SLOTS {
            let path = Path::new(LOCKS).join(format!("node-{number}"));
            let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => return Ok((Self(number), file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("failed to claim a slot for the node");
                }
            }
        }
        anyhow::bail!("{SLOTS} test nodes are running already (see {LOCKS}): stop one of them")
    }

    /// The name of this machine's end of the link.
    pub(crate) fn link(self) -> String {
        format!("dsnode{}", self.0)
    }

    /// The cgroup below which the node's pods are.
    pub(crate) fn cgroup(self) -> String {
        format!("deepseek-node-{}", self.0)
    }

    /// This machine, as the node and its pods see it.
    pub(crate) fn host_address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 128 + self.0, 1)
    }

    /// The node, as this machine and the pods see it.
    pub(crate) fn node_address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 128 + self.0, 2)
    }

    pub(crate) fn pods(self) -> String {
        format!("198.18.{}.0/24", self.0)
    }

    pub(crate) fn service_prefix(self) -> [u8; 3] {
        [198, 19, self.0]
    }

    pub(crate) fn services(self) -> String {
        format!("198.19.{}.0/24", self.0)
    }
}
