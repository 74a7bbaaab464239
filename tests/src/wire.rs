//! What the packets of an exchange carried, at each host: by which hook an address was translated.
//!
//! A packet socket sees a frame that comes in after XDP and before tc, and one that goes out after tc.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::cluster::Host;
use crate::net::Proto;
use crate::sniff::{Capture, Sniffer};

/// Captures under way.
#[derive(Debug)]
pub struct Taps(Vec<(String, Sniffer)>);

/// What hosts sent and received.
#[derive(Debug)]
pub struct Wire(Vec<(String, Capture)>);

impl Taps {
    /// Starts a capture at each of these hosts.
    pub fn at(hosts: &[&Host]) -> Result<Self> {
        hosts.iter().map(|host| Ok((host.name().to_owned(), host.sniff()?))).collect::<Result<_>>().map(Self)
    }

    /// Ends them, after what has arrived so far.
    pub fn finish(self) -> Result<Wire> {
        self.0.into_iter().map(|(host, sniffer)| Ok((host, sniffer.finish()?))).collect::<Result<_>>().map(Wire)
    }
}

impl Wire {
    /// Fails if a checksum was wrong that a host received, or if one received nothing.
    pub fn expect_sound(&self) -> Result<()> {
        self.0.iter().try_for_each(|(host, capture)| capture.expect_sound().with_context(|| format!("received by {host}")))
    }

    /// Fails if a packet of any host names one of these, by any port where it is 0: somebody was translated by a packet.
    pub fn expect_none_named(&self, addresses: &[SocketAddr]) -> Result<()> {
        self.0.iter().try_for_each(|(host, capture)| {
            let packets = capture.naming(addresses);
            ensure!(packets == 0, "{packets} packets at {host} name one of {addresses:?}");
            Ok(())
        })
    }

    /// Fails unless packets for this address and port left a host; how many.
    pub fn expect_sent(&self, host: &Host, proto: Proto, to: SocketAddr) -> Result<u64> {
        let packets = self.of(host)?.sent_to(proto, to);
        ensure!(packets > 0, "no packet for {to} {proto} left {}", host.name());
        Ok(packets)
    }

    /// Fails unless packets for this address and port came to a host.
    pub fn expect_received(&self, host: &Host, proto: Proto, to: SocketAddr) -> Result<()> {
        ensure!(self.of(host)?.received_for(proto, to) > 0, "no packet for {to} {proto} came to {}", host.name());
        Ok(())
    }

    /// Fails if a packet for this address and port came to a host, or past its XDP programs.
    pub fn expect_not_received(&self, host: &Host, proto: Proto, to: SocketAddr) -> Result<()> {
        let packets = self.of(host)?.received_for(proto, to);
        ensure!(packets == 0, "{packets} packets for {to} {proto} came to {}", host.name());
        Ok(())
    }

    fn of(&self, host: &Host) -> Result<&Capture> {
        let found = self.0.iter().find(|(name, _)| name == host.name());
        found.map(|(_, capture)| capture).with_context(|| format!("nothing was captured at {}", host.name()))
    }
}
