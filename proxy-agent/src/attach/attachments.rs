//! Where this instance's programs are attached, kept in step with the node's devices.
//!
//! A device that can't be served is reported and harms no other.

use super::cgroup;
use super::edges::{Classified, classify};
use super::facts::Facts;
use super::links::{LinkError, Links, Outcome, Wanted};
use super::rules::DeviceRule;
use super::sys::Target;
use super::tc;
use super::xdp;
use crate::config::XdpMode;
use std::collections::BTreeMap;
use std::path::Path;

/// What the operator asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// `--devices`.
    pub rules: Vec<DeviceRule>,
    /// `--xdp`.
    pub xdp: XdpMode,
    /// Whether traffic to local pods may be masqueraded, so that their answers have to be turned back (S29, S30).
    pub masquerades: bool,
}

/// One device and what was done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceState {
    /// Which edge it is, and why.
    pub device: Classified,
    /// What could not be attached.
    pub failures: Vec<String>,
    /// What was left out since the device can't have it, where nobody insists on it.
    pub notes: Vec<String>,
    /// Whether one of them may succeed when tried again.
    pub may_mend: bool,
}

/// The attachments of one instance.
pub struct Attachments {
    policy: Policy,
    links: Links,
    /// XDP links that were refused.
    refused: BTreeMap<String, Refusal>,
}

/// An XDP link that was refused.
struct Refusal {
    wanted: Wanted,
    message: String,
    /// The driver can't or the device's settings forbid it: not asked for again, since drivers reset for some attempts.
    lasting: bool,
}

impl Refusal {
    /// Whether tc may do without, as the operator has it: XDP wherever a device can have it.
    fn may_be(&self, mode: XdpMode) -> bool {
        self.lasting && mode == XdpMode::Auto
    }
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
        Ok(devices.into_iter().zip(wanted).map(|(device, (tc, xdp))| self.serve(device, &tc, xdp.as_ref(), step)).collect())
    }

    /// The folder of the cgroup that is served.
    pub fn cgroup(&self) -> &Path {
        &self.links.cgroup().path
    }

    /// What kept XDP off a device although it is required.
    pub fn required_xdp(&self) -> Option<&str> {
        self.refused.values().next().filter(|_| self.policy.xdp == XdpMode::Require).map(|refusal| refusal.message.as_str())
    }

    /// The devices on which XDP runs.
    pub fn xdp_devices(&self) -> Vec<u32> {
        self.links.attached().values().filter_map(xdp_device).collect()
    }

    /// The devices on which XDP runs and goes on doing so with [`Self::follow`].
    pub fn lasting_xdp(&self, facts: &Facts) -> Vec<u32> {
        let devices = classify(facts, &self.policy.rules);
        let wanted = devices.iter().filter_map(|device| xdp::link(device, self.policy.xdp));
        wanted.filter(|link| self.links.has(link)).filter_map(|link| xdp_device(&link)).collect()
    }

    fn serve(&mut self, device: Classified, tc: &[Wanted], xdp: Option<&Wanted>, step: &dyn Fn(&str)) -> DeviceState {
        let mut state = DeviceState { device, failures: Vec::new(), notes: Vec::new(), may_mend: false };
        for link in tc {
            state.failures.extend(self.ensure(link, step).err().map(|error| error.to_string()));
        }
        state.may_mend = !state.failures.is_empty();
        let mode = self.policy.xdp;
        if let Some(refusal) = xdp.and_then(|link| self.ensure_xdp(link, step)) {
            let told = if refusal.may_be(mode) { &mut state.notes } else { &mut state.failures };
            told.push(refusal.message.clone());
            state.may_mend |= !refusal.lasting;
        }
        state
    }

    fn ensure_xdp(&mut self, wanted: &Wanted, step: &dyn Fn(&str)) -> Option<&Refusal> {
        let lasts = self.refused.get(&wanted.pin).is_some_and(|refusal| refusal.lasting && refusal.wanted == *wanted);
        if !lasts {
            match self.ensure(wanted, step) {
                Ok(()) => drop(self.refused.remove(&wanted.pin)),
                Err(error) => {
                    let refusal = Refusal { wanted: wanted.clone(), message: error.to_string(), lasting: error.is_lasting() };
                    if refusal.may_be(self.policy.xdp) {
                        tracing::info!(link = wanted.pin, "no XDP: {}", refusal.message);
                    }
                    self.refused.insert(wanted.pin.clone(), refusal);
                }
            }
        }
        self.refused.get(&wanted.pin)
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

const fn xdp_device(link: &Wanted) -> Option<u32> {
    match link.target {
        Target::Xdp { device } => Some(device),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::sys::XdpPlace;

    #[test]
    fn only_who_insists_on_xdp_misses_what_a_device_cannot_have() {
        let target = Target::Xdp { device: 2 };
        let wanted = Wanted { pin: "uplink_xdp-eth0".into(), program: "uplink_xdp", target, place: XdpPlace::Native };
        let refusal = |lasting| Refusal { wanted: wanted.clone(), message: String::new(), lasting };
        let accepted = [XdpMode::Auto, XdpMode::Require, XdpMode::Generic].map(|mode| refusal(true).may_be(mode));
        assert_eq!(accepted, [true, false, false]);
        assert!(!refusal(false).may_be(XdpMode::Auto), "the hook may come free");
    }
}
