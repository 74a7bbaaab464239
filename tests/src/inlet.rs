//! The hook that a packet from outside meets first: a case of an outside client runs at both, and says that this hook did it.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::agent::Agent;
use crate::cluster::{Host, Spec};
use crate::expect;
use crate::hooks::{Hooks, Moved};
use crate::net::Proto;
use crate::scenario::Scenario;
use crate::traffic::Probe;

/// Where packets from outside come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inlet {
    /// tc, as on every device.
    Tc,
    /// XDP, on a wire that behaves like a physical one. What XDP does not translate it leaves to tc.
    Xdp,
}

impl Inlet {
    /// As [`Scenario::start`]; `test` is the name for tc.
    pub fn start(self, test: &str, spec: Spec, flags: &[&str]) -> Result<Scenario> {
        match self {
            Self::Tc => Scenario::start(test, spec, flags),
            Self::Xdp => {
                Scenario::start_on_physical_wire(&format!("{test}-xdp"), spec, &[flags, &["--xdp", "require"]].concat())
            }
        }
    }

    /// As [`expect::served`] from outside by a pod of the agent's node: the way there by this hook, the replies by tc.
    pub fn served(self, agent: &Agent, client: &Host, to: SocketAddr, (proto, by): (Proto, &str)) -> Result<()> {
        let before = Hooks::of(agent)?;
        expect::served(client, to, proto, by)?;
        self.expect_translated(&before.moved(agent)?)
    }

    /// As [`expect::dropped`], of a client outside: always by tc, to which XDP has left it.
    pub fn dropped(self, agent: &Agent, client: &Host, to: SocketAddr, reason: &str) -> Result<()> {
        let before = Hooks::of(agent)?;
        expect::dropped(agent, client, to, ("tc_ingress", reason))?;
        self.expect_refusal(&before.moved(agent)?)
    }

    /// As [`expect::refused_by_icmp`], of three connections: likewise.
    pub fn refused(self, agent: &Agent, client: &Host, to: SocketAddr, proto: Proto) -> Result<()> {
        let before = Hooks::of(agent)?;
        expect::refused_by_icmp(&to, &client.probe(Probe::times(proto, to, 3))?, proto)?;
        self.expect_refusal(&before.moved(agent)?)
    }

    /// Fails unless this hook translated what came in, and tc alone what went out.
    pub fn expect_translated(self, moved: &Moved) -> Result<()> {
        match self {
            Self::Tc => moved.expect_tc_alone(),
            Self::Xdp => moved.expect_xdp_in_tc_out(),
        }
    }

    fn expect_refusal(self, moved: &Moved) -> Result<()> {
        let left_to_tc = moved.deferred > 0;
        ensure!(left_to_tc == (self == Self::Xdp), "at {self:?}:\n{}", moved.all);
        Ok(())
    }
}
