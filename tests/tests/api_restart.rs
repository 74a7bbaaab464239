//! Agents that were killed start while the API server is away, and much has changed since they died: they serve what they find
//! pinned (S11), and what changed takes effect when the API server is back. Connections to a Service that nobody changed notice
//! none of it (S48).

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::controlplane::Pod;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, POD_PORT, World};
use sluice_tests::manifests::Service;
use sluice_tests::traffic::{self, Held, HeldReport, Load, LoadReport};
use sluice_tests::wait::{self, monotonic_ns};
use sluice_tests::{Agent, Family, Host, Proto, Traffic, cluster_ip};

/// A Service of the test, over pods of the app `app`.
struct Tested {
    name: &'static str,
    app: &'static str,
    /// Of its ClusterIPs.
    number: u16,
    node_port: u16,
}

/// What nobody changes.
const UNCHANGED: Tested = Tested { name: "web", app: "web", number: 10, node_port: NODE_PORT };
/// What loses one of its two pods while no agent runs.
const SHRUNK: Tested = Tested { name: "shrunk", app: "shrunk", number: 20, node_port: 30_008 };
/// What is deleted while no agent runs.
const DELETED: Tested = Tested { name: "deleted", app: "web", number: 21, node_port: 30_009 };
/// What is created while no agent runs.
const CREATED: Tested = Tested { name: "created", app: "web", number: 22, node_port: 30_010 };

/// The pods of the app `web`.
const WEB: [&str; 2] = ["far", "near"];
/// The pods of [`SHRUNK`].
const LEAVING: &str = "leaving";
const STAYING: &str = "staying";

/// New connections a second that each client must have made to each Service, from its first to its last second.
const RATE: u32 = 100;
/// What each is told to make: a worker whose request waits for a busy core does not make up for the turns it lost.
const OFFERED: u32 = RATE * 3 / 2;
/// Held connections to each address.
const HELD: u32 = 4;
/// How long agents run without an API server, and how long connections go on when all is as it should be.
const WHILE: Duration = Duration::from_secs(2);

#[test]
fn killed_agents_serve_what_is_pinned_until_the_api_server_is_back() -> Result<()> {
    let mut world = World::start("api-restart")?;
    let _servers = prepare(&world)?;
    let clients = [UNCHANGED, SHRUNK].into_iter().map(|service| Clients::of(&world, service)).collect::<Result<Vec<_>>>()?;
    let before = world.agents.iter().map(tables).collect::<Result<Vec<_>>>()?;
    thread::sleep(WHILE);

    world.agents.iter_mut().try_for_each(Agent::kill)?;
    change(&world)?;
    world.plane.stop_api_server()?;
    world.agents.iter_mut().try_for_each(Agent::start)?;
    serves_what_is_pinned(&world, &before)?;
    let away = monotonic_ns();

    world.plane.start_api_server()?;
    serves_what_there_is(&world)?;
    let settled = monotonic_ns();
    thread::sleep(WHILE);
    for clients in clients {
        let shrunk = clients.service.name == SHRUNK.name;
        let seen = clients.finish()?;
        if shrunk {
            ensure!(seen.last_new > away, "what was pinned had {LEAVING}, and nobody met it");
            ensure!(seen.last_new < settled, "a new connection met {LEAVING} after it had left");
            ensure!(seen.last_held > settled, "connections that {LEAVING} had end with it");
        }
    }
    ensure!(world.agents.iter_mut().all(Agent::is_running), "an agent has ended");
    Ok(())
}

/// Puts three of the Services in force. The servers of the pods that the world does not have.
fn prepare(world: &World) -> Result<Vec<Traffic>> {
    world.serve_web()?;
    let mut servers = Vec::new();
    for (node, name) in [(0, STAYING), (1, LEAVING)] {
        let host = world.cluster.add_pod(node, name)?;
        servers.push(host.serve(&[POD_PORT])?);
        let ips = Family::BOTH.map(|family| host.ip(family));
        let node = world.cluster.node(node).name();
        world.plane.add_pod(&Pod { name, app: SHRUNK.app, node, ips: &ips })?;
    }
    SHRUNK.create(world)?;
    DELETED.create(world)?;
    SHRUNK.wait_for_answers(world, &[LEAVING, STAYING])?;
    DELETED.wait_for_answers(world, &WEB)?;
    Ok(servers)
}

/// What happens while no agent runs. Returns when controllers have done their part.
fn change(world: &World) -> Result<()> {
    world.plane.remove_service(DELETED.name)?;
    world.plane.remove_pod(LEAVING)?;
    CREATED.create(world)?;
    for (service, pods) in [(DELETED, 0), (SHRUNK, 1), (CREATED, 2)] {
        let wanted = pods * Family::BOTH.len();
        let done = || world.plane.ready_endpoints(service.name).ok().filter(|&found| found == wanted);
        wait::until(LIMIT, &format!("{wanted} ready endpoints of {}", service.name), done)?;
    }
    Ok(())
}

/// Without an API server: agents say so, nothing is programmed, and all is served as it was.
fn serves_what_is_pinned(world: &World, before: &[Value]) -> Result<()> {
    for agent in &world.agents {
        let known = || agent.cli(&["status"]).ok().filter(|text| text.contains("can't reach the API server"));
        wait::until(LIMIT, "status to say that the API server is away", known)?;
    }
    thread::sleep(WHILE);
    // What is torn down nobody could repair.
    DELETED.wait_for_answers(world, &WEB)?;
    SHRUNK.wait_for_answers(world, &[LEAVING, STAYING])?;
    UNCHANGED.wait_for_answers(world, &WEB)?;
    CREATED.wait_refused(world).context("nobody has told the agents of it")?;
    for (agent, before) in world.agents.iter().zip(before) {
        let metrics = agent.metrics()?;
        ensure!(metrics.gauge("sluice_flips_total")? == 0.0, "S11: something was put in force before there was any list");
        ensure!(metrics.sum("sluice_degraded", &["condition=\"api\""]) == 1.0, "the API server is away");
        let tables = tables(agent)?;
        ensure!(tables == *before, "S11: the tables were\n{before:#}\nand are\n{tables:#}");
    }
    Ok(())
}

/// With it: all that happened meanwhile takes effect.
fn serves_what_there_is(world: &World) -> Result<()> {
    CREATED.wait_for_answers(world, &WEB).context("a Service that came meanwhile")?;
    SHRUNK.wait_for_answers(world, &[STAYING]).context("a Service that lost a pod meanwhile")?;
    DELETED.wait_refused(world).context("a Service that went meanwhile")?;
    for agent in &world.agents {
        let gone = || agent.cli(&["services", "-o", "json"]).ok().filter(|text| !text.contains(DELETED.name));
        wait::until(LIMIT, "the Service that went meanwhile to leave the tables", gone)?;
        let well = || agent.cli(&["status"]).ok().filter(|text| !text.contains("can't reach the API server"));
        wait::until(LIMIT, "status to say that all is well", well)?;
    }
    UNCHANGED.wait_for_answers(world, &WEB)
}

/// The service ports that an agent's tables hold, without what connections count.
fn tables(agent: &Agent) -> Result<Value> {
    let mut listing: Value = serde_json::from_str(&agent.cli(&["services", "-o", "json"])?)?;
    for service in listing["services"].as_array_mut().context("a list of Services")? {
        service.as_object_mut().context("a service port")?.remove("connections").context("a count")?;
    }
    Ok(listing["services"].take())
}

impl Tested {
    fn create(&self, world: &World) -> Result<()> {
        let ips = Family::BOTH.map(|family| cluster_ip(family, self.number));
        world.plane.add_service(&Service::new(self.name, &ips).port(Proto::Tcp, 80, POD_PORT, self.node_port))?;
        world.plane.patch_service(self.name, &json!({"spec": {"selector": {"app": self.app}}}))
    }

    fn ways<'a>(&self, world: &'a World) -> Vec<(&'a Host, SocketAddr)> {
        world.ways_to(self.number, self.node_port)
    }

    /// Waits until all of these pods, and no others, answer on every way.
    fn wait_for_answers(&self, world: &World, wanted: &[&str]) -> Result<()> {
        self.ways(world).into_iter().try_for_each(|(from, to)| world::wait_for(from, to, wanted))
    }

    /// Waits until every node refuses at the NodePort.
    fn wait_refused(&self, world: &World) -> Result<()> {
        let node_ports = self.ways(world).into_iter().filter(|(_, to)| to.port() == self.node_port);
        node_ports.into_iter().try_for_each(|(from, to)| world::wait_refused(from, to))
    }
}

/// New and held connections to a Service, from outside and from a pod.
struct Clients {
    service: Tested,
    began: Instant,
    loads: Vec<(&'static str, Traffic)>,
    held: Vec<(&'static str, Traffic)>,
}

/// When the last exchange with [`LEAVING`] began.
struct Seen {
    last_new: u64,
    last_held: u64,
}

impl Clients {
    fn of(world: &World, service: Tested) -> Result<Self> {
        let (mut loads, mut held) = (Vec::new(), Vec::new());
        let began = Instant::now();
        for (who, client) in [("outside", world.cluster.outside()), ("pod", &world.client)] {
            let ways = service.ways(world).into_iter().filter(|(from, _)| from.name() == client.name());
            let targets: Vec<_> = ways.map(|(_, to)| traffic::Target::new(Proto::Tcp, to)).collect();
            let rate = OFFERED.div_ceil(targets.len() as u32);
            held.push((
                who,
                client.hold(Held { targets: targets.clone(), count: HELD, bind: None, interval_ms: 200, timeout_ms: 3000 })?,
            ));
            loads.push((who, client.load(Load::new(targets, rate))?));
        }
        Ok(Self { service, began, loads, held })
    }

    /// Ends them all: none has failed, and new ones were as many as they had to be.
    fn finish(self) -> Result<Seen> {
        let (name, mut seen) = (self.service.name, Seen { last_new: 0, last_held: 0 });
        for (who, load) in self.loads {
            let seconds = self.began.elapsed().as_secs_f64();
            let report: LoadReport = load.finish()?;
            ensure!(report.failed() == 0, "{who} to {name}: {} failed:\n{}", report.failed(), report.failures());
            let rate = report.requests() as f64 / seconds;
            println!("REPORT: {who} made {rate:.0} new connections a second to {name} for {seconds:.0} s, none failed");
            ensure!(rate >= f64::from(RATE), "{who} made {rate:.1} new connections a second to {name}, {RATE} are wanted");
            seen.last_new = seen.last_new.max(report.last_start(LEAVING).unwrap_or_default());
        }
        for (who, held) in self.held {
            let report: HeldReport = held.finish()?;
            ensure!(report.opened > 0 && report.broken.is_empty() && report.moved == 0, "{who} holds {name}: {report:?}");
            let answerer = report.answerers.get(LEAVING);
            seen.last_held = seen.last_held.max(answerer.map_or(0, |answerer| answerer.last_start_ns));
        }
        Ok(seen)
    }
}
