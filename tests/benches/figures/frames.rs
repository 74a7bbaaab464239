//! How many frames a second XDP turns round at an uplink: to a remote backend of a NodePort, beside a program that only echoes.
//!
//! BPF_PROG_TEST_RUN makes live frames and redirects them into the far end of the uplink's veth; they come back to its XDP program,
//! which counts them and drops them. Everything runs on one CPU.

use anyhow::{Context, Result, ensure};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{TestRun, TestRunAttrs, TestRunOptions, Xdp};
use sluice_tests::bench::{Figure, Target};

use super::clock::cpu_nanos;
use super::feeder::{Feeder, Kind, Ports};
use super::frame::{self, ACK, Frame};
use super::node::{self, CLIENT, Node, TO_REMOTE};
use super::packets;

const FRAMES: u32 = 100_000;
const BATCH: u32 = 64;

/// Lets the two programs take turns at the uplink, in each of `rounds` rounds.
pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let mut node = Node::make(&node::object("sluice.o"))?;
    node.add_services()?;
    let mut feeder = Feeder::load(&node::object("reference.o"), node.device)?;
    let (mut figures, mut noise) = (Vec::new(), Vec::new());
    node.enter(|node| -> Result<()> {
        packets::stay_on_one_cpu()?;
        packets::establish(node, &mut feeder, Kind::Xdp, TO_REMOTE)?;
        let far = node.clear_uplink()?;
        feeder.xdp("sink_xdp")?.load()?;
        feeder.xdp("sink_xdp")?.attach_to_if_index(far, XdpMode::Driver)?;
        feeder.xdp("spray_xdp")?.load()?;
        feeder.xdp("echo_xdp")?.load()?;
        let first = feeder.xdp("echo_xdp")?.attach_to_if_index(node.device, XdpMode::Driver)?;
        let mut link = feeder.xdp("echo_xdp")?.take_link(first)?;
        feeder.set_frame(&frame::tcp(CLIENT, TO_REMOTE, ACK), Ports::Same, far)?;
        let mut rates = [0.0; 3];
        for _ in 0..rounds {
            for (turn, rate) in rates.iter_mut().enumerate() {
                link = switch(node, &mut feeder, link, turn == 1)?;
                *rate = spray(&mut feeder)?;
            }
            let [before, ours, after] = rates;
            figures.push(2.0 * ours / (before + after));
            noise.push(after / before);
        }
        Ok(())
    })??;
    let figure = Figure::new("XDP: NodePort, remote backend ÷ echo", "ratio", &figures).beside(&noise);
    Ok(vec![figure.target(Target::AtLeast(0.55))])
}

/// Puts the uplink's program or the echo in the link.
fn switch(node: &mut Node, feeder: &mut Feeder, link: XdpLink, ours: bool) -> Result<XdpLink> {
    let program: &mut Xdp = if ours {
        node.ebpf.program_mut("uplink_xdp").context("no program uplink_xdp")?.try_into()?
    } else {
        feeder.xdp("echo_xdp")?
    };
    let id = program.attach_to_link(link)?;
    Ok(program.take_link(id)?)
}

/// Sends frames and returns how many came back in a second of CPU time.
fn spray(feeder: &mut Feeder) -> Result<f64> {
    let before = feeder.sunk()?;
    let frame: Frame = frame::tcp(CLIENT, TO_REMOTE, ACK);
    let options = TestRunOptions {
        data_in: Some(&frame),
        repeat: FRAMES,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::new()
    };
    let program = feeder.xdp("spray_xdp")?;
    let (nanos, result) = cpu_nanos(|| program.test_run(options))?;
    result.context("BPF_PROG_TEST_RUN with live frames")?;
    let came = feeder.sunk()? - before;
    ensure!(came >= u64::from(FRAMES) * 9 / 10, "only {came} of {FRAMES} frames came back");
    Ok(came as f64 * 1e9 / nanos)
}
