//! The store of the API server: one that serves streamed lists, and one that can't.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;

use crate::controlplane::daemon::{Daemon, flags};
use crate::controlplane::programs::program;
use crate::http;
use crate::netns::Netns;

/// Where it answers inside the namespace.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);
const PEERS: &str = "http://127.0.0.1:2380";

/// A version of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Etcd {
    /// It tells its progress on request, which the API server needs to stream lists.
    Current,
    /// Debian 12's 3.4.23. Before 3.4.31 and 3.5.13 what it tells may be ahead of the events, so the API server streams no lists.
    Old,
}

impl Etcd {
    fn program(self) -> &'static str {
        match self {
            Self::Current => "etcd",
            Self::Old => "etcd-3.4",
        }
    }

    /// Starts it with its data in `folder` and waits until it is healthy.
    pub(super) fn start(self, netns: &Netns, folder: &Path) -> Result<Daemon> {
        let (data, url) = (folder.join("etcd").display().to_string(), format!("http://{ADDRESS}"));
        let mut arguments = flags(&[
            ("data-dir", &data),
            ("listen-client-urls", &url),
            ("advertise-client-urls", &url),
            ("listen-peer-urls", PEERS),
            ("initial-advertise-peer-urls", PEERS),
            ("initial-cluster", &format!("default={PEERS}")),
        ]);
        if self == Self::Current {
            arguments.extend(flags(&[("unsafe-no-fsync", "true")]));
        }
        let mut etcd = Daemon::start(netns, folder, "etcd", &program(self.program())?, &arguments)?;
        etcd.until(|| http::get(netns, ADDRESS, "/health").ok().filter(|page| page.status == 200).map(drop))?;
        Ok(etcd)
    }
}
