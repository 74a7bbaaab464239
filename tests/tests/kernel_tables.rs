//! The agent's tables in the kernel: what is written is read back through read-only pins, an agent adopts what another left, and
//! what is not the agent's is refused with a word of advice.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytemuck::Zeroable;
use proxy_agent::attach::bpffs;
use proxy_agent::maps::{
    Access, Capacity, Flows, GracePeriods, GraceToken, KernelFlows, KernelMaps, LoadError, LoadOptions, MapName, NodeMaps,
    PinError, Reader, create_pinned, load,
};
use proxy_agent::sync::{Sync, Timeouts, now, sweep};
use proxy_agent::table::{Change, WantedBackend, WantedService};
use proxy_common::abi::{
    ABI_VERSION, Addr, AddressFlags, BackendState, Config, Connection, DeviceFlags, End, Family, Flow, FlowFlags, FrontendKey,
    FrontendKind, Port, Proto, ServiceName, Side, Tuple,
};
use sluice_tests::Rig;

const SMALL: Capacity = Capacity {
    services: 64,
    frontends: 64,
    backends: 256,
    slots: 512,
    descriptors: 128,
    source_ranges: 64,
    connections: 131_072,
    flows: 262_144,
    flows_spill: 1024,
    flows_any: 1024,
    flows_any_spill: 1024,
    udp_peers: 1024,
};

struct Pins {
    _rig: Rig,
    path: PathBuf,
}

/// Tables of a test's own.
fn pins(test: &str, capacity: &Capacity) -> Result<Pins> {
    let rig = Rig::new(test)?;
    let path = rig.pins("node");
    create_pinned(&path, capacity).context("create tables")?;
    Ok(Pins { _rig: rig, path })
}

fn service(number: u8, endpoints: u8) -> Result<Change> {
    let name = ServiceName::new("default", &format!("web-{number}"), "", Proto::TCP, Family::V4).context("a short name")?;
    let addr = |a: [u8; 4]| Addr::v4_word(u32::from_ne_bytes(a));
    let state = BackendState::SERVING.with(BackendState::IN_CLUSTER);
    let backend = |host| WantedBackend { addr: addr([10, 1, number, host]), port: Port::new(8080), local: false, state };
    let key = FrontendKey::new(addr([10, 96, 0, number]), Port::new(80), Proto::TCP);
    let frontends = vec![(key, FrontendKind::CLUSTER_IP)];
    Ok(Change::Set(WantedService::new(name, frontends, (1..=endpoints).map(backend).collect())))
}

fn adopt(path: &Path) -> Result<Sync<KernelMaps>> {
    Ok(Sync::adopt(KernelMaps::open(path, Access::Write)?)?.0)
}

#[test]
fn what_is_written_is_read_back_and_adopted() -> Result<()> {
    let pins = pins("tables-adopted", &SMALL)?;
    let mut sync = adopt(&pins.path)?;
    let applied = sync.apply((1..=40).map(|number| service(number, 5)).collect::<Result<_>>()?);
    assert_eq!((applied.changes.len(), applied.flips, applied.rejected.len()), (40, 40, 0));
    let reader = Reader::open(&pins.path)?;
    let views = reader.services()?;
    assert_eq!((views.len(), views[0].name.name(), views[0].backends.len(), views[0].frontends.len()), (40, "web-1", 5, 1));
    drop(sync);

    let mut next = adopt(&pins.path)?;
    assert_eq!(next.retired_pending(), None, "nothing was left over");
    let again = next.settle((1..=40).map(|number| service(number, 5)).collect::<Result<_>>()?);
    assert_eq!((again.changes.len(), again.flips), (0, 0));
    assert_eq!(reader.services()?, views);
    let fewer = next.settle(vec![service(1, 4)?]);
    assert_eq!((fewer.changes.len(), reader.services()?.len()), (40, 1));
    let used =
        reader.usage()?.into_iter().find(|table| table.map == MapName::Backends).map(|table| (table.used, table.capacity));
    assert_eq!(used, Some((4, 256)));
    Ok(())
}

#[test]
fn a_full_hash_table_is_told_and_heals() -> Result<()> {
    let pins = pins("tables-full", &Capacity { services: 128, ..SMALL })?;
    let mut sync = adopt(&pins.path)?;
    let applied = sync.apply((1..=70).map(|number| service(number, 1)).collect::<Result<_>>()?);
    assert_eq!(applied.rejected.len(), 6);
    assert!(applied.rejected.iter().all(|rejection| rejection.error.map() == MapName::Frontends));
    let applied = sync.settle((11..=70).map(|number| service(number, 1)).collect::<Result<_>>()?);
    assert_eq!((applied.rejected.len(), Reader::open(&pins.path)?.services()?.len()), (0, 60));
    Ok(())
}

#[test]
fn s24_source_ranges_are_read_back_adopted_and_full() -> Result<()> {
    let pins = pins("tables-ranges", &SMALL)?;
    let restricted = |number: u8, ranges: &[&str]| -> Result<Change> {
        let Change::Set(wanted) = service(number, 1)? else { anyhow::bail!("no Service") };
        let sources = ranges.iter().map(|range| Ok(range.parse()?)).collect::<Result<_>>()?;
        Ok(Change::Set(WantedService { sources: Some(sources), ..wanted }))
    };
    let ranges = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "203.0.113.9/32"];
    let mut sync = adopt(&pins.path)?;
    // One part in sixteen is kept for sets that become no larger.
    let applied = sync.apply((1..=16).map(|number| restricted(number, &ranges)).collect::<Result<_>>()?);
    assert_eq!(applied.rejected.iter().map(|rejection| rejection.error.map()).collect::<Vec<_>>(), [MapName::SourceRanges]);
    let reader = Reader::open(&pins.path)?;
    let used = || -> Result<Option<(u32, u32)>> {
        let usage = reader.usage()?;
        Ok(usage.iter().find(|table| table.map == MapName::SourceRanges).map(|table| (table.used, table.capacity)))
    };
    assert_eq!(used()?, Some((60, 64)));
    let shown = |number: usize| -> Result<Option<Vec<String>>> {
        let view = reader.services()?.into_iter().find(|view| view.name.name() == format!("web-{number}"));
        Ok(view.and_then(|view| view.sources).map(|nets| nets.iter().map(ToString::to_string).collect()))
    };
    assert_eq!(shown(1)?, Some(ranges.map(str::to_owned).to_vec()));
    assert_eq!(sync.apply(vec![restricted(1, &["192.0.2.0/24"])?]).rejected, []);
    assert_eq!(shown(1)?, Some(vec!["192.0.2.0/24".to_owned()]));
    let token = sync.retired_pending().context("the old set")?;
    sync.grace_ended(token);
    assert_eq!((used()?, sync.rejected().count()), (Some((57, 64)), 1));
    drop(sync);

    let mut next = adopt(&pins.path)?;
    assert_eq!(next.retired_pending(), None, "nothing was left over");
    next.settle(vec![restricted(1, &["192.0.2.0/24"])?, restricted(2, &[])?]);
    while let Some(token) = next.retired_pending() {
        next.grace_ended(token);
    }
    assert_eq!((used()?, shown(2)?), (Some((1, 64)), Some(Vec::new())));
    Ok(())
}

#[test]
fn a_grace_period_ends() -> Result<()> {
    let (sender, ended) = channel();
    let grace = GracePeriods::start(move |token| sender.send(token).unwrap_or_default())?;
    (1..=3).for_each(|token| grace.begin(GraceToken(token)));
    let mut last = GraceToken(0);
    while last < GraceToken(3) {
        last = ended.recv_timeout(Duration::from_secs(5)).context("a grace period did not end")?;
    }
    Ok(())
}

#[test]
fn pins_that_are_something_else_are_refused() -> Result<()> {
    let pins = pins("tables-refused", &SMALL)?;
    let folder = pins.path.join("maps");
    fs::rename(folder.join("SLOTS"), folder.join("SLOTS-old"))?;
    assert!(matches!(KernelMaps::open(&pins.path, Access::Write), Err(PinError::Missing(_))));
    fs::rename(folder.join("DESCRIPTORS"), folder.join("SLOTS"))?;
    let error = KernelMaps::open(&pins.path, Access::Write).err().context("another shape is refused")?;
    ensure!(matches!(error, PinError::Shape { .. }) && error.to_string().contains("sluice cleanup"), "{error}");

    let mut node = NodeMaps::open(&pins.path)?;
    node.set_config(Config { epoch: 7, ..Config::zeroed() });
    assert_eq!(node.config().epoch, 7);
    Ok(())
}

/// A start that fails halfway leaves no table that the next one, with other sizes, would adopt.
#[test]
fn tables_without_memory_are_told_by_name_and_not_left_behind() -> Result<()> {
    let rig = Rig::new("tables-memory")?;
    let pins = rig.pins("node");
    bpffs::prepare(&pins)?;
    let object = fs::read(env!("SLUICE_EBPF_OBJECT")).context("run `cargo xtask build` first")?;
    let load = |flows| {
        let capacity = Capacity { flows, ..SMALL };
        load(&object, &LoadOptions { bpffs: &pins, capacity, checksum_ipv6: true, seed: None })
    };
    let error = load(u32::MAX).err().context("a table of four billion flows")?;
    ensure!(matches!(&error, LoadError::Memory(name) if name == "FLOWS"), "{error}");
    let left: Vec<_> = fs::read_dir(pins.join("maps"))?.collect();
    ensure!(left.is_empty(), "{left:?}");
    load(SMALL.flows).map(drop).context("with other sizes")
}

#[test]
fn node_tables_hold_what_is_wanted() -> Result<()> {
    let pins = pins("tables-node", &SMALL)?;
    let mut node = NodeMaps::open(&pins.path)?;
    let addr = |last: u8| Addr::v4_word(u32::from_ne_bytes([192, 0, 2, last]));
    node.set_addresses(&HashMap::from([(addr(1), AddressFlags::LOCAL), (addr(2), AddressFlags::LOCAL)]))?;
    let both = AddressFlags::LOCAL.with(AddressFlags::NODE_PORT);
    node.set_addresses(&HashMap::from([(addr(2), both), (addr(3), AddressFlags::LOCAL)]))?;
    node.set_devices(&HashMap::from([(4, DeviceFlags::XDP_TARGET)]))?;
    let reader = Reader::open(&pins.path)?;
    assert_eq!(reader.addresses()?, [(addr(2), both), (addr(3), AddressFlags::LOCAL)]);
    assert_eq!(reader.devices()?, [(4, DeviceFlags::XDP_TARGET)]);
    Ok(())
}

#[test]
fn next_hops_are_asked_for_again_when_devices_change() -> Result<()> {
    let pins = pins("tables-devices", &SMALL)?;
    let mut node = NodeMaps::open(&pins.path)?;
    let settings = Config { epoch: u32::MAX - 1, icmp_per_second: 100, ..Config::zeroed() };
    node.set_config(settings);
    let (target, local) = (DeviceFlags::XDP_TARGET, DeviceFlags::LOCAL_PODS);
    let devices = HashMap::from([(4, target.with(local)), (5, target)]);
    node.set_devices(&devices)?;
    assert_eq!(node.config().epoch, u32::MAX, "the first");
    node.set_devices(&devices)?;
    node.keep_targets(&[5, 4, 3])?;
    assert_eq!(node.config().epoch, u32::MAX, "none that changed");
    node.keep_targets(&[5])?;
    assert_eq!(node.config().epoch, 0, "a target that goes");
    assert_eq!(Reader::open(&pins.path)?.devices()?, [(4, local), (5, target)]);
    node.set_devices(&HashMap::from([(4, local)]))?;
    assert_eq!(node.config(), Config { abi: ABI_VERSION, epoch: 1, ..settings }, "a device that goes");
    Ok(())
}

#[test]
fn a_sweep_ends_a_hundred_thousand_flows() -> Result<()> {
    const PAIRS: u32 = 80_000;
    let pins = pins("tables-sweep", &SMALL)?;
    let flows = KernelFlows::open(&pins.path)?;
    let addr = |host: u32| Addr::v4_word(host.to_be());
    let closed = FlowFlags::ESTABLISHED.with(FlowFlags::FIN);
    let entries = (0..PAIRS).flat_map(|number| {
        let client = |to: u32| Tuple::new(addr(10 << 24 | number), Port::new(40_000), addr(to), Port::new(80), Proto::TCP);
        let (key, to) = (client(1), client(2));
        let seen = now().wrapping_sub(if number % 4 == 0 { 1_000 } else { 61_000 });
        let entry = |to, flags| Flow { to, flags, seen, ..Flow::zeroed() };
        [(key, entry(to, closed.with(FlowFlags::FORWARD))), (to.reversed(), entry(key.reversed(), closed))]
    });
    flows.fill(MapName::Flows, &entries.collect::<Vec<_>>())?;
    let swept = sweep(&flows, &Timeouts::default(), now)?;
    assert_eq!((swept.expired, swept.entries), ([PAIRS / 4 * 3 * 2, 0, 0, 0], [PAIRS / 4 * 2, 0, 0, 0]));
    let mut left = 0;
    flows.walk(MapName::Flows, &mut |keys, _| left += keys.len())?;
    assert_eq!(left, PAIRS as usize / 4 * 2);
    Ok(())
}

#[test]
fn a_sweep_ends_a_hundred_thousand_connections() -> Result<()> {
    const CONNECTIONS: u32 = 120_000;
    let pins = pins("tables-connections", &SMALL)?;
    let flows = KernelFlows::open(&pins.path)?;
    let closed = FlowFlags::ESTABLISHED.with(FlowFlags::FIN);
    let entries = (0..CONNECTIONS).map(|number| {
        let client = End::new(Addr::v4_word((10 << 24 | number).to_be()), Port::new(40_000));
        let seen = now().wrapping_sub(if number % 4 == 0 { 1_000 } else { 61_000 });
        let side = |flags| Side { flags, seen };
        (client, Connection { client: side(closed), reply: side(closed), ..Connection::zeroed() })
    });
    flows.fill_connections(&entries.collect::<Vec<_>>())?;
    let swept = sweep(&flows, &Timeouts::default(), now)?;
    assert_eq!((swept.ended, swept.connections), (CONNECTIONS / 4 * 3, CONNECTIONS / 4));
    let mut left = 0;
    flows.walk_connections(&mut |clients, _| left += clients.len())?;
    assert_eq!(left, CONNECTIONS as usize / 4);
    Ok(())
}
