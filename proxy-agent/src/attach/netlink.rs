//! rtnetlink: this network namespace's devices, addresses, routes and neighbours, listed once and again after each change.
//!
//! Events only say *that* something changed; facts come from a list of everything, so that a lost event costs nothing but time.

use super::decode::{self, NeighbourKey};
use super::facts::Facts;
use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, IpVersion, MulticastGroup, RouteMessageBuilder, sys::SocketAddr};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Events of one operator's action come in a burst: one list answers them all.
const SETTLE: Duration = Duration::from_millis(3);
/// Listing takes at most one part in this many of a CPU.
const REST: u32 = 10;

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Why the node's network can't be observed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("can't open an rtnetlink socket: {0}; check the seccomp profile of the container")]
    Socket(#[from] std::io::Error),
    /// A list failed.
    #[error("can't list the node's {what}: {source}; check the seccomp profile of the container")]
    List {
        /// What was to be listed.
        what: &'static str,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// The kernel's events ended.
    #[error("rtnetlink events ended: restart the agent; connections go on in the meantime")]
    Ended,
}

/// What an observation found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// The facts.
    pub facts: Facts,
    /// Whether next hops that programs remember may be wrong.
    pub hops_changed: bool,
}

/// The observer of one network namespace, the one it was opened in.
pub struct Network {
    handle: Handle,
    events: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    neighbours: Neighbours,
    facts: Facts,
    rest_until: Instant,
}

/// Link addresses of neighbours.
#[derive(Default)]
struct Neighbours(HashMap<NeighbourKey, Vec<u8>>);

/// What a burst of events asks for.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Dirty {
    list: bool,
    hops: bool,
}

impl Network {
    /// Subscribes to events, then lists. The connections run as tasks of this runtime.
    pub async fn open() -> Result<Self, NetlinkError> {
        let (watcher, _, events) = rtnetlink::new_multicast_connection(&GROUPS)?;
        let (lister, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(watcher);
        tokio::spawn(lister);
        let mut network =
            Self { handle, events, neighbours: Neighbours::default(), facts: Facts::default(), rest_until: Instant::now() };
        network.list_neighbours().await?;
        network.facts = network.list().await?;
        Ok(network)
    }

    /// The facts of the last list.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Waits for the next change.
    pub async fn next(&mut self) -> Result<Observation, NetlinkError> {
        loop {
            let dirty = self.burst().await?;
            let mut observation = Observation { facts: Facts::default(), hops_changed: dirty.hops };
            if dirty.list {
                tokio::time::sleep_until(self.rest_until.into()).await;
                let began = Instant::now();
                let facts = self.list().await?;
                self.rest_until = Instant::now() + began.elapsed() * REST;
                observation.hops_changed |= facts != self.facts;
                self.facts = facts;
            }
            if observation.hops_changed {
                observation.facts = self.facts.clone();
                return Ok(observation);
            }
        }
    }

    async fn burst(&mut self) -> Result<Dirty, NetlinkError> {
        let mut dirty = Dirty::default();
        while dirty == Dirty::default() {
            let (message, _) = self.events.next().await.ok_or(NetlinkError::Ended)?;
            self.note(message, &mut dirty);
        }
        tokio::time::sleep(SETTLE).await;
        while let Some(Some((message, _))) = self.events.next().now_or_never() {
            self.note(message, &mut dirty);
        }
        Ok(dirty)
    }

    fn note(&mut self, message: NetlinkMessage<RouteNetlinkMessage>, dirty: &mut Dirty) {
        use RouteNetlinkMessage::{DelNeighbour, DelRoute, NewNeighbour, NewRoute};
        match message.payload {
            NetlinkPayload::InnerMessage(NewNeighbour(message)) => {
                dirty.hops |= decode::neighbour(&message).is_some_and(|(key, link)| self.neighbours.set(key, link));
            }
            NetlinkPayload::InnerMessage(DelNeighbour(message)) => {
                dirty.hops |= decode::neighbour(&message).is_some_and(|(key, _)| self.neighbours.set(key, None));
            }
            // Of most routes nothing stands among the facts.
            NetlinkPayload::InnerMessage(NewRoute(_) | DelRoute(_)) => *dirty = Dirty { list: true, hops: true },
            NetlinkPayload::InnerMessage(_) => dirty.list = true,
            NetlinkPayload::Overrun(_) => *dirty = Dirty { list: true, hops: true },
            _ => {}
        }
    }

    async fn list(&self) -> Result<Facts, NetlinkError> {
        let failed = |what| move |source| NetlinkError::List { what, source };
        let links: Vec<_> = self.handle.link().get().execute().try_collect().await.map_err(failed("devices"))?;
        let addresses: Vec<_> = self.handle.address().get().execute().try_collect().await.map_err(failed("addresses"))?;
        let mut routes = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let query = match version {
                IpVersion::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
                IpVersion::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
            };
            let mut stream = self.handle.route().get(query).execute();
            while let Some(message) = stream.try_next().await.map_err(failed("routes"))? {
                routes.extend(decode::routes(&message));
            }
        }
        Ok(Facts {
            devices: links.iter().filter_map(decode::device).map(|device| (device.index, device)).collect(),
            addresses: addresses.iter().filter_map(decode::address).collect(),
            routes,
        })
    }

    async fn list_neighbours(&mut self) -> Result<(), NetlinkError> {
        let mut stream = self.handle.neighbours().get().execute();
        while let Some(message) = stream.try_next().await.map_err(|source| NetlinkError::List { what: "neighbours", source })? {
            if let Some((key, link)) = decode::neighbour(&message) {
                self.neighbours.set(key, link);
            }
        }
        Ok(())
    }
}

impl Neighbours {
    /// Whether a next hop may differ now: not for each turn from reachable to stale and back.
    fn set(&mut self, key: NeighbourKey, link: Option<Vec<u8>>) -> bool {
        match link {
            None => self.0.remove(&key).is_some(),
            Some(link) if self.0.get(&key) == Some(&link) => false,
            Some(link) => {
                self.0.insert(key, link);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_link_addresses_matter() {
        let mut neighbours = Neighbours::default();
        let key = (2, std::net::IpAddr::from([192, 0, 2, 1]));
        assert!(!neighbours.set(key, None));
        assert!(neighbours.set(key, Some(vec![1; 6])));
        assert!(!neighbours.set(key, Some(vec![1; 6])));
        assert!(neighbours.set(key, Some(vec![2; 6])));
        assert!(neighbours.set(key, None));
        assert!(!neighbours.set(key, None));
    }

    #[tokio::test]
    async fn lists_this_namespace() {
        let network = Network::open().await.unwrap();
        let lo = network.facts().devices.values().find(|device| device.name == "lo").unwrap();
        assert_eq!(lo.header, crate::attach::facts::LinkHeader::Loopback);
    }
}
