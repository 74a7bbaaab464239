//! A control plane over tables, without an agent around it: events in, flips out, in CPU time of the calling thread.

use std::time::Instant;

use anyhow::{Result, ensure};
use proxy_agent::control::Control;
use proxy_agent::maps::Maps;
use proxy_agent::sync::{Applied, Sync};
use proxy_agent::watch::Event;
use proxy_agent::watch::objects::Kind;

use super::clock::cpu_nanos;
use super::objects::Size;

const MILLI: f64 = 1e6;

/// Both ends of the way.
pub struct Plane<M> {
    pub control: Control,
    pub tables: Sync<M>,
}

impl<M: Maps> Plane<M> {
    /// Nothing known, nothing written.
    pub fn over(maps: M) -> Result<Self> {
        Ok(Self { control: control(), tables: Sync::adopt(maps)?.0 })
    }

    /// Takes in both lists and puts all in force, as the agent does after its start.
    pub fn list(&mut self, lists: [Vec<Event>; 2]) -> Applied {
        take_in(&mut self.control, lists);
        self.tables.apply(self.control.take_changes())
    }

    /// Takes in one event and puts in force what it changes: milliseconds.
    pub fn change(&mut self, event: Event) -> Result<(f64, Applied)> {
        let now = Instant::now();
        let (nanos, applied) = cpu_nanos(|| {
            self.control.on_event(event, now);
            self.tables.apply(self.control.take_changes())
        })?;
        Ok((nanos / MILLI, applied))
    }

    /// Ends every grace period: no program runs on these tables.
    pub fn rest(&mut self) {
        if let Some(token) = self.tables.retired_pending() {
            self.tables.grace_ended(token);
        }
    }

    /// Milliseconds from an event that replaces one endpoint of a Service to the flip, for Services spread over all.
    pub fn change_some(&mut self, size: Size, changes: usize) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for turn in 0..changes {
            let number = turn * (size.services / changes).max(1) % size.services;
            let (spent, applied) = self.change(size.slice(number, 0, &[0])?)?;
            ensure!(applied.flips == 1, "the change of one Service made {} flips", applied.flips);
            all.push(spent);
            self.rest();
        }
        Ok(all)
    }
}

/// A control plane that has listed everything.
pub fn listed(size: Size) -> Result<Control> {
    let mut control = control();
    take_in(&mut control, size.lists()?);
    Ok(control)
}

fn control() -> Control {
    Control::new("node-1")
}

fn take_in(control: &mut Control, lists: [Vec<Event>; 2]) {
    let now = Instant::now();
    for (kind, list) in [Kind::Service, Kind::EndpointSlice].into_iter().zip(lists) {
        list.into_iter().for_each(|event| control.on_event(event, now));
        control.on_event(Event::Synced(kind), now);
    }
}
