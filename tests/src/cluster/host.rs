//! One place that processes run in: a node's host network, a pod or the outside client, with its namespace and cgroup.
//!
//! Invariant: what a host starts is in its namespace and in its cgroup before its first instruction runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use super::plan::Pair;
use crate::cgroup::Cgroup;
use crate::net::{Family, Proto};
use crate::netns::{Netns, ip};
use crate::offload;
use crate::sniff::Sniffer;
use crate::traffic::{
    App, Get, Held, Load, Outcome, PageReport, Probe, Serve, Stream, StreamReport, Task, Traffic, Unconnected,
    UnconnectedReport, helper,
};

/// How long a task that ends by itself may take, unless its own time-outs add up to more.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node, a pod or the outside client.
#[derive(Debug)]
pub struct Host {
    name: String,
    netns: Netns,
    cgroup: Cgroup,
    addresses: Pair,
    peer: (Netns, String),
    gets_complete_frames: AtomicBool,
}

impl Host {
    pub(super) fn new(name: &str, netns: Netns, cgroup: Cgroup, addresses: Pair, peer: (Netns, String)) -> Self {
        Self { name: name.to_owned(), netns, cgroup, addresses, peer, gets_complete_frames: AtomicBool::new(false) }
    }

    /// The same place for processes of another cgroup.
    pub(super) fn apart(&self, cgroup: Cgroup) -> Self {
        Self::new(&self.name, self.netns.clone(), cgroup, self.addresses, self.peer.clone())
    }

    /// Its name: that of the pod, of the Node object, or `outside`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The cgroup its processes are in.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Its address in a family: the pod's, or that of the node's uplink. Its device is always called `eth0`.
    pub fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.addresses.0.into(),
            Family::V6 => self.addresses.1.into(),
        }
    }

    /// A port on its address.
    pub fn at(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(family), port)
    }

    /// The other end of `eth0`: its namespace and name (the node's end of a pod, the wire's end of a node).
    pub fn peer(&self) -> (&Netns, &str) {
        (&self.peer.0, &self.peer.1)
    }

    /// Turns checksum and segmentation offload off at its devices and at the other end of `eth0`: its peers see complete
    /// frames only, and so does a sniffer here.
    pub fn offload_off(&self) -> Result<()> {
        self.devices()?.iter().try_for_each(|device| offload::off(&self.netns, device))?;
        offload::off(&self.peer.0, &self.peer.1)
    }

    /// Turns it on again; on a physical wire at its own devices alone.
    pub fn offload_on(&self) -> Result<()> {
        self.devices()?.iter().try_for_each(|device| offload::on(&self.netns, device))?;
        if self.gets_complete_frames.load(Ordering::Relaxed) {
            return Ok(());
        }
        offload::on(&self.peer.0, &self.peer.1)
    }

    /// From here on the other end of `eth0` stands for the sender's card: it completes checksums and cuts segments before a frame
    /// arrives here, whatever the sender left to it.
    pub(super) fn get_complete_frames(&self) -> Result<()> {
        self.gets_complete_frames.store(true, Ordering::Relaxed);
        offload::off(&self.peer.0, &self.peer.1)
    }

    /// Captures what its devices receive and checks every checksum.
    pub fn sniff(&self) -> Result<Sniffer> {
        Sniffer::start(&self.netns)
    }

    /// A command that will run here; start it with [`Host::spawn_command`].
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        // A process can't be moved before it exists and must not run before it is moved: a shell moves itself.
        let mut command = Command::new("sh");
        let join = format!("echo 0 > '{}/cgroup.procs' && exec \"$@\"", self.cgroup.path().display());
        command.args(["-c", &join, "sh"]).arg(program).process_group(0);
        command
    }

    /// Starts a command made by [`Host::command`].
    pub fn spawn_command(&self, mut command: Command) -> Result<Child> {
        self.netns.enter(move || command.spawn())?.with_context(|| format!("start a process on {}", self.name))
    }

    /// Runs a program here to its end and returns what it printed; an error holds what it complained.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.spawn_command(command)?.wait_with_output()?;
        if !output.status.success() {
            bail!("{program} {} on {}: {}", args.join(" "), self.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a task of the traffic helper here.
    pub fn start(&self, task: &Task) -> Result<Traffic> {
        let mut command = self.command(helper()?);
        command.arg(serde_json::to_string(task)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        Traffic::attach(self.spawn_command(command)?, format!("{} on {}", word(task), self.name))
    }

    /// Serves TCP and UDP on `ports` of every address, under the host's own name.
    pub fn serve(&self, ports: &[u16]) -> Result<Traffic> {
        self.serve_app(ports, App::Hello)
    }

    /// Serves an app.
    pub fn serve_app(&self, ports: &[u16], app: App) -> Result<Traffic> {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        // A dual IPv6 socket would collide with the IPv4 one, and UDP answers must leave from the address dialled.
        let own = [Family::V4, Family::V6].map(|family| self.ip(family));
        let tcp = ports.iter().map(|&port| SocketAddr::new(any[1], port)).collect();
        let udp = ports.iter().flat_map(|&port| own.map(|ip| SocketAddr::new(ip, port))).collect();
        self.start(&Task::Serve(Serve { name: self.name.clone(), tcp, udp, app }))?.ready()
    }

    /// Dials once and returns what happened.
    pub fn dial(&self, proto: Proto, to: SocketAddr) -> Result<Outcome> {
        let mut outcomes = self.probe(Probe::once(proto, to))?;
        outcomes.pop().context("a probe without an outcome")
    }

    /// Dials one time after the other.
    pub fn probe(&self, probe: Probe) -> Result<Vec<Outcome>> {
        let limit = Duration::from_millis(probe.timeout_ms * 2 * u64::from(probe.count));
        self.finish_within(&Task::Probe(probe), limit)
    }

    /// Gets an HTTP page.
    pub fn get(&self, to: SocketAddr, path: &str) -> Result<PageReport> {
        self.finish_within(&Task::Get(Get { to, path: path.to_owned() }), PATIENCE)
    }

    /// Sends bytes over one TCP connection and compares the echo.
    pub fn stream(&self, to: SocketAddr, bytes: u64) -> Result<StreamReport> {
        self.finish_within(&Task::Stream(Stream { to, bytes }), PATIENCE)
    }

    /// Talks to many addresses over one UDP socket.
    pub fn talk(&self, task: Unconnected) -> Result<UnconnectedReport> {
        let limit = Duration::from_millis((task.timeout_ms + task.interval_ms) * u64::from(task.rounds));
        self.finish_within(&Task::Unconnected(task), limit)
    }

    /// Starts a load; end it with `finish::<LoadReport>()`.
    pub fn load(&self, load: Load) -> Result<Traffic> {
        self.start(&Task::Load(load))?.ready()
    }

    /// Opens connections that stay; end them with `finish::<HeldReport>()`.
    pub fn hold(&self, held: Held) -> Result<Traffic> {
        self.start(&Task::Held(held))?.ready()
    }

    fn devices(&self) -> Result<Vec<String>> {
        let text = ip(&["-n", self.netns.name(), "-br", "link"])?;
        // A veth shows as NAME@PEER.
        let names = text.lines().filter_map(|line| line.split([' ', '@']).next());
        Ok(names.filter(|&name| name != "lo").map(str::to_owned).collect())
    }

    fn finish_within<R: DeserializeOwned>(&self, task: &Task, limit: Duration) -> Result<R> {
        self.start(task)?.report(limit + PATIENCE)
    }
}

fn word(task: &Task) -> &'static str {
    match task {
        Task::Serve(_) => "a server",
        Task::Load(_) => "a load",
        Task::Held(_) => "held connections",
        Task::Probe(_) => "a probe",
        Task::Get(_) => "a page request",
        Task::Stream(_) => "a stream",
        Task::Unconnected(_) => "an unconnected socket",
        Task::Janitor { .. } => "the janitor",
    }
}
