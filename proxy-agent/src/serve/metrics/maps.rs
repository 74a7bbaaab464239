//! Metrics that are read out of the maps when somebody scrapes.

use super::forecast::Trend;
use crate::maps::{MapName, Reader, TableUse};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};
use proxy_common::abi::{Counter, Hook, Reason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Reads the maps for one scrape. What can't be read is left out.
pub trait ReadMaps: Send + Sync {
    /// Everything a scrape shows of the maps.
    fn read(&self) -> MapReading;
}

/// What stood in the maps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MapReading {
    /// COUNTERS, summed over CPUs.
    pub counters: Vec<Counted>,
    /// How full tables are.
    pub tables: Vec<TableUse>,
}

/// One counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Where it counts.
    pub hook: Hook,
    /// What it counts.
    pub reason: Reason,
    /// Its value, summed over CPUs.
    pub counter: Counter,
}

impl ReadMaps for Reader {
    fn read(&self) -> MapReading {
        let counters = self.counters().unwrap_or_default();
        let counters = counters.into_iter().map(|(hook, reason, counter)| Counted { hook, reason, counter }).collect();
        MapReading { counters, tables: self.usage().unwrap_or_default() }
    }
}

/// Collects from a [`ReadMaps`] at each scrape.
pub(super) struct MapCollector {
    source: Arc<dyn ReadMaps>,
    descs: Vec<Desc>,
    trends: Mutex<BTreeMap<MapName, Trend>>,
}

struct Families {
    packets: IntCounterVec,
    bytes: IntCounterVec,
    calls: IntCounterVec,
    entries: IntGaugeVec,
    capacity: IntGaugeVec,
    full: GaugeVec,
    flows: IntGaugeVec,
}

impl Families {
    fn new() -> prometheus::Result<Self> {
        let hook = &["hook", "reason"];
        Ok(Self {
            packets: IntCounterVec::new(Opts::new("sluice_packets_total", "Packets by hook and reason"), hook)?,
            bytes: IntCounterVec::new(Opts::new("sluice_bytes_total", "Bytes of packets by hook and reason"), hook)?,
            calls: IntCounterVec::new(
                Opts::new("sluice_socket_calls_total", "System calls of sockets by reason"),
                &["reason"],
            )?,
            entries: IntGaugeVec::new(Opts::new("sluice_map_entries", "Entries of a map in use"), &["map"])?,
            capacity: IntGaugeVec::new(Opts::new("sluice_map_capacity", "Entries that fit into a map"), &["map"])?,
            full: GaugeVec::new(
                Opts::new("sluice_map_full_seconds", "Time until a map is full at the pace of the last hour"),
                &["map"],
            )?,
            flows: IntGaugeVec::new(
                Opts::new("sluice_flows", "Entries of flows; a flow has two, in CONNECTIONS one"),
                &["map"],
            )?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 7] {
        [&self.packets, &self.bytes, &self.calls, &self.entries, &self.capacity, &self.full, &self.flows]
    }

    fn fill(&self, reading: &MapReading, trends: &mut BTreeMap<MapName, Trend>, now: Instant) {
        for Counted { hook, reason, counter } in &reading.counters {
            if *hook == Hook::Socket {
                self.calls.with_label_values(&[reason.label()]).inc_by(counter.packets);
                continue;
            }
            let labels = [hook.label(), reason.label()];
            self.packets.with_label_values(&labels).inc_by(counter.packets);
            self.bytes.with_label_values(&labels).inc_by(counter.bytes);
        }
        for table in &reading.tables {
            let map = table.map.as_str();
            self.entries.with_label_values(&[map]).set(i64::from(table.used));
            self.capacity.with_label_values(&[map]).set(i64::from(table.capacity));
            let left = trends.entry(table.map).or_default().seconds_left(now, table.used, table.capacity);
            self.full.with_label_values(&[map]).set(left);
            if table.map.holds_flows() {
                self.flows.with_label_values(&[map]).set(i64::from(table.used));
            }
        }
    }
}

impl MapCollector {
    pub fn new(source: Arc<dyn ReadMaps>) -> prometheus::Result<Self> {
        let families = Families::new()?;
        let descs = families.collectors().iter().flat_map(|c| c.desc()).cloned().collect();
        Ok(Self { source, descs, trends: Mutex::default() })
    }
}

impl Collector for MapCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(families) = Families::new() else { return Vec::new() };
        let mut trends = self.trends.lock().unwrap_or_else(PoisonError::into_inner);
        families.fill(&self.source.read(), &mut trends, Instant::now());
        families.collectors().iter().flat_map(|c| c.collect()).collect()
    }
}
