//! Where this instance's programs are attached, kept in step with the node's devices.
//!
//! A device that can't be served is reported and harms no other; only the cgroup, and XDP where it is required, stop a start.

use super::cgroup;
use super::edges::{Classified, Edge, classify};
use super::facts::Facts;
use super::links::{LinkError, Links, Outcome, Wanted};
use super::rules::DeviceRule;
use super::sys::Target;
use super::tc;
use super::xdp;
use crate::config::XdpMode;
use std::collections::BTreeMap;

/// What the operator asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// `--devices`.
    pub rules: Vec<DeviceRule>,
    /// `--xdp`.
    pub xdp: XdpMode,
    /// Whether a cluster CIDR is set, so that answers of local pods may have to be turned back (S29).
    pub masquerades: bool,
}

/// One device and what was done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceState {
    /// Which edge it is, and why.
    pub device: Classified,
    /// Programs attached to it.
    pub hooks: Vec<&'static str>,
    /// What could not be attached.
    pub failures: Vec<String>,
}

/// The attachments of one instance.
pub struct Attachments {
    policy: Policy,
    links: Links,
    /// XDP links that a driver refused, and what it said: asked for once.
    refused: BTreeMap<String, (Wanted, String)>,
}

impl Attachments {
    /// Nothing attached yet.
    pub const fn new(policy: Policy, links: Links) -> Self {
        Self { policy, links, refused: BTreeMap::new() }
    }

    /// Attaches the socket hooks; `step` is told the name of each link that was made or swapped.
    pub fn attach_cgroup(&mut self, step: &dyn Fn(&str)) -> Result<(), LinkError> {
        for wanted in self.links.cgroup().links().collect::<Vec<_>>() {
            self.ensure(&wanted, step)?;
        }
        Ok(())
    }

    /// Brings the devices' links in line with the facts.
    pub fn follow(&mut self, facts: &Facts, step: &dyn Fn(&str)) -> Result<Vec<DeviceState>, LinkError> {
        let devices = classify(facts, &self.policy.rules);
        let wanted: Vec<(Vec<Wanted>, Option<Wanted>)> = devices
            .iter()
            .map(|device| (tc::links(device, self.policy.masquerades), xdp::link(device, self.policy.xdp)))
            .collect();
        let pins: Vec<&str> = wanted.iter().flat_map(|(tc, xdp)| tc.iter().chain(xdp)).map(|link| link.pin.as_str()).collect();
        for pin in self.links.remove_others(&|pin| cgroup::is_pin(pin) || pins.contains(&pin))? {
            tracing::info!(link = pin, "detached");
        }
        devices.into_iter().zip(wanted).map(|(device, (tc, xdp))| self.serve(device, &tc, xdp.as_ref(), step)).collect()
    }

    /// The devices on which XDP runs.
    pub fn xdp_devices(&self) -> Vec<u32> {
        let device = |link: &Wanted| match link.target {
            Target::Xdp { device } => Some(device),
            _ => None,
        };
        self.links.attached().values().filter_map(device).collect()
    }

    fn serve(
        &mut self,
        device: Classified,
        tc: &[Wanted],
        xdp: Option<&Wanted>,
        step: &dyn Fn(&str),
    ) -> Result<DeviceState, LinkError> {
        let mut state = DeviceState { device, hooks: Vec::new(), failures: Vec::new() };
        for link in tc {
            match self.ensure(link, step) {
                Ok(()) => state.hooks.push(link.program),
                Err(error) => state.failures.push(error.to_string()),
            }
        }
        if let Some(link) = xdp {
            match self.ensure_xdp(link, step)? {
                None => state.hooks.push(link.program),
                Some(refusal) => state.failures.push(refusal),
            }
        }
        Ok(state)
    }

    /// What the driver said if it refused and XDP is not required.
    fn ensure_xdp(&mut self, link: &Wanted, step: &dyn Fn(&str)) -> Result<Option<String>, LinkError> {
        if let Some((_, refusal)) = self.refused.get(&link.pin).filter(|(refused, _)| refused == link) {
            return Ok(Some(refusal.clone()));
        }
        match self.ensure(link, step) {
            Ok(()) => Ok(None),
            Err(error) if self.policy.xdp == XdpMode::Require => Err(error),
            Err(error) => {
                self.refused.insert(link.pin.clone(), (link.clone(), error.to_string()));
                Ok(Some(error.to_string()))
            }
        }
    }

    fn ensure(&mut self, wanted: &Wanted, step: &dyn Fn(&str)) -> Result<(), LinkError> {
        match self.links.ensure(wanted)? {
            Some(Outcome::Swapped) => tracing::debug!(link = wanted.pin, "program swapped"),
            Some(_) => tracing::info!(link = wanted.pin, "attached"),
            None => return Ok(()),
        }
        step(&wanted.pin);
        Ok(())
    }
}

impl DeviceState {
    /// Whether anything is attached, or should be.
    pub const fn is_served(&self) -> bool {
        !matches!(self.device.edge, Edge::None)
    }
}
