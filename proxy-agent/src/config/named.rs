//! Settings that are lists of NAME=VALUE: `flowTimeouts` and `tableEntries`.

use super::address::invalid;
use super::error::{ConfigError, Setting};
use super::quantity::GoDuration;
use crate::maps::Capacity;
use crate::sync::Timeouts;
use std::time::Duration;

/// Times of the tables' clock are apart by less than half of its 2^32 ms.
const LONGEST: Duration = Duration::from_secs(20 * 24 * 60 * 60);
/// Of the largest table, backends, a gigabyte.
const MOST_ENTRIES: u32 = 1 << 24;
const FEWEST_ENTRIES: u32 = 1 << 10;

/// How long flows outlive their last packet: by default, but for these.
pub fn timeouts(setting: &Setting, items: &[String]) -> Result<Timeouts, ConfigError> {
    const WANTED: &str = "NAME=DURATION from 1s to 480h, such as tcp-established=2h; names are tcp-embryonic, tcp-established, \
                          tcp-closed, tcp-reset, udp-unanswered, udp-answered and udp-exchanged";
    let mut timeouts = Timeouts::default();
    for item in items {
        let refused = || invalid(setting.clone(), item, WANTED);
        let (name, text) = item.trim().split_once('=').ok_or_else(refused)?;
        let duration = text.parse::<GoDuration>().map_err(|()| refused())?.to_duration();
        if duration < Duration::from_secs(1) || duration > LONGEST {
            return Err(refused());
        }
        let place = match name {
            "tcp-embryonic" => &mut timeouts.embryonic,
            "tcp-established" => &mut timeouts.established,
            "tcp-closed" => &mut timeouts.closed,
            "tcp-reset" => &mut timeouts.reset,
            "udp-unanswered" => &mut timeouts.unanswered,
            "udp-answered" => &mut timeouts.answered,
            "udp-exchanged" => &mut timeouts.exchanged,
            _ => return Err(refused()),
        };
        *place = duration.as_millis() as u32;
    }
    Ok(timeouts)
}

/// How many entries new tables have: as many as fit this machine, but for these.
pub fn capacity(setting: &Setting, items: &[String]) -> Result<Capacity, ConfigError> {
    const WANTED: &str = "NAME=NUMBER from 1024 to 16777216, such as flows=1000000; names are services, frontends, backends, slots, \
                          source-ranges, flows, udp-flows and udp-peers";
    let mut capacity = Capacity::for_this_machine();
    for item in items {
        let refused = || invalid(setting.clone(), item, WANTED);
        let (name, text) = item.trim().split_once('=').ok_or_else(refused)?;
        let entries =
            text.parse().ok().filter(|entries| (FEWEST_ENTRIES..=MOST_ENTRIES).contains(entries)).ok_or_else(refused)?;
        match name {
            "services" => capacity = capacity.with_services(entries),
            "frontends" => capacity.frontends = entries,
            "backends" => capacity.backends = entries,
            "slots" => capacity.slots = entries,
            "source-ranges" => capacity.source_ranges = entries,
            "flows" => capacity = capacity.with_flows(entries),
            "udp-flows" => capacity = capacity.with_udp_flows(entries),
            "udp-peers" => capacity.udp_peers = entries,
            _ => return Err(refused()),
        }
    }
    Ok(capacity)
}
