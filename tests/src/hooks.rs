//! Which hook did the work: translations and rejections by hook, between two scrapes of an agent.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::agent::Agent;
use crate::metrics::Metrics;
use crate::wait;

/// How long counters must stand still.
const REST: Duration = Duration::from_millis(50);
/// How soon they must.
const AT_REST: Duration = Duration::from_secs(5);

/// Reasons that mean a packet or a call was translated.
const TRANSLATED: [&str; 4] = ["opened", "port_exchanged", "forward", "reply"];
/// Reasons that begin a flow.
const OPENED: [&str; 2] = ["opened", "port_exchanged"];

/// An agent's counters at one time.
#[derive(Clone, Debug)]
pub struct Hooks(Metrics);

/// How much they rose until another time.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Socket calls that were translated.
    pub sockets: u64,
    /// Packets that tc translated on their way in.
    pub tc_ingress: u64,
    /// Packets that tc translated on their way out.
    pub tc_egress: u64,
    /// Packets that XDP translated.
    pub xdp: u64,
    /// Packets that XDP left to tc.
    pub deferred: u64,
    /// Packets that tc refused on their way in, for want of an endpoint.
    pub refused: u64,
    /// Flows that packets opened.
    pub flows: u64,
    /// Every series that rose, for messages.
    pub all: String,
}

impl Hooks {
    /// Reads them.
    pub fn of(agent: &Agent) -> Result<Self> {
        agent.metrics().map(Self)
    }

    /// As [`Self::moved`], once they stand still: the last packets of a connection come after its client has gone.
    pub fn settled(&self, agent: &Agent) -> Result<Moved> {
        wait::until(AT_REST, "the counters at rest", || {
            let once = Self::of(agent).ok()?;
            thread::sleep(REST);
            once.moved(agent).ok()?.is_nothing().then_some(())
        })?;
        self.moved(agent)
    }

    /// How much they have risen since.
    pub fn moved(&self, agent: &Agent) -> Result<Moved> {
        let now = agent.metrics()?;
        let packets = |hook: &str, reasons: &[&str]| -> u64 {
            let sum = |reason: &&str| {
                let labels = [format!("hook=\"{hook}\""), format!("reason=\"{reason}\"")];
                let labels = labels.each_ref().map(String::as_str);
                now.sum("sluice_packets_total", &labels) - self.0.sum("sluice_packets_total", &labels)
            };
            reasons.iter().map(sum).sum::<f64>() as u64
        };
        let calls = |reason: &&str| {
            let label = format!("reason=\"{reason}\"");
            now.sum("sluice_socket_calls_total", &[&label]) - self.0.sum("sluice_socket_calls_total", &[&label])
        };
        let risen = now.risen_since(&self.0).into_iter().filter(|(series, _)| series.starts_with("sluice_"));
        Ok(Moved {
            sockets: TRANSLATED.iter().map(calls).sum::<f64>() as u64,
            tc_ingress: packets("tc_ingress", &TRANSLATED),
            tc_egress: packets("tc_egress", &TRANSLATED),
            xdp: packets("xdp", &TRANSLATED),
            deferred: packets("xdp", &["deferred"]),
            refused: packets("tc_ingress", &["no_endpoint"]),
            flows: ["tc_ingress", "tc_egress", "xdp"].iter().map(|hook| packets(hook, &OPENED)).sum(),
            all: risen.map(|(series, rise)| format!("{series} +{rise}")).collect::<Vec<_>>().join("\n"),
        })
    }
}

impl Moved {
    /// Fails unless sockets translated, and no packet was touched.
    pub fn expect_sockets_alone(&self) -> Result<()> {
        let packets = self.tc_ingress + self.tc_egress + self.xdp;
        ensure!(self.sockets > 0 && packets == 0, "not the socket hooks alone:\n{}", self.all);
        Ok(())
    }

    /// Fails unless tc translated, and no socket and no XDP program did.
    pub fn expect_tc_alone(&self) -> Result<()> {
        let tc = self.tc_ingress + self.tc_egress;
        ensure!(tc > 0 && self.sockets == 0 && self.xdp == 0, "not tc alone:\n{}", self.all);
        Ok(())
    }

    /// Fails unless XDP translated every packet.
    pub fn expect_xdp_alone(&self) -> Result<()> {
        let others = self.tc_ingress + self.tc_egress + self.sockets;
        ensure!(self.xdp > 0 && others == 0, "not XDP alone:\n{}", self.all);
        Ok(())
    }

    /// Fails unless XDP translated what came in and tc only the replies, which have no XDP on their way out.
    pub fn expect_xdp_in_tc_out(&self) -> Result<()> {
        let others = self.tc_ingress + self.sockets;
        ensure!(self.xdp > 0 && self.tc_egress > 0 && others == 0, "not XDP in and tc out:\n{}", self.all);
        Ok(())
    }

    /// Fails unless XDP left every packet to tc, and tc translated.
    pub fn expect_left_to_tc(&self) -> Result<()> {
        ensure!(self.deferred > 0, "XDP left nothing to tc:\n{}", self.all);
        self.expect_tc_alone()
    }

    /// Fails if anything was translated.
    pub fn expect_nothing(&self) -> Result<()> {
        ensure!(self.is_nothing(), "something was translated:\n{}", self.all);
        Ok(())
    }

    fn is_nothing(&self) -> bool {
        self.tc_ingress + self.tc_egress + self.xdp + self.sockets == 0
    }
}
