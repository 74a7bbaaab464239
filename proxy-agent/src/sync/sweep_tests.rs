//! The sweep over tables in memory.

use super::*;
use bytemuck::Zeroable;
use proxy_common::abi::{Addr, BackendId, Connection, Generation, NextHop, Port, Proto, ServiceId, Side};
use std::cell::RefCell;
use std::collections::HashSet;

struct Memory {
    tables: RefCell<HashMap<MapName, HashMap<Tuple, Flow>>>,
    connections: RefCell<HashMap<End, Connection>>,
    rooms: RefCell<[FlowRoom; 2]>,
    capacity: u32,
    /// FLOW_FILTER: its halves as sets, and which is asked.
    filter: RefCell<([HashSet<Tuple>; 2], usize)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            tables: RefCell::default(),
            rooms: RefCell::new([FlowRoom { quota: 1 << 20, ..FlowRoom::zeroed() }; 2]),
            connections: RefCell::default(),
            capacity: 1 << 20,
            filter: RefCell::default(),
        }
    }
}

impl Flows for Memory {
    fn walk(&self, table: MapName, visit: &mut dyn FnMut(&[Tuple], &[Flow])) -> Result<(), MapError> {
        let entries = self.tables.borrow().get(&table).cloned().unwrap_or_default();
        entries.into_iter().for_each(|(key, entry)| visit(&[key], &[entry]));
        Ok(())
    }

    fn remove(&self, table: MapName, keys: &[Tuple]) -> Result<(), MapError> {
        self.tables.borrow_mut().entry(table).or_default().retain(|key, _| !keys.contains(key));
        Ok(())
    }

    fn walk_connections(&self, visit: &mut dyn FnMut(&[End], &[Connection])) -> Result<(), MapError> {
        let connections = self.connections.borrow().clone();
        connections.into_iter().for_each(|(client, connection)| visit(&[client], &[connection]));
        Ok(())
    }

    fn remove_connections(&self, clients: &[End]) -> Result<(), MapError> {
        self.connections.borrow_mut().retain(|client, _| !clients.contains(client));
        Ok(())
    }

    fn capacity(&self, _: MapName) -> u32 {
        self.capacity
    }

    fn room(&self, class: Class) -> FlowRoom {
        self.rooms.borrow()[class as usize]
    }

    fn count_embryonic(&self, class: Class, by: i64) {
        let count = &mut self.rooms.borrow_mut()[class as usize].embryonic;
        *count = count.wrapping_add_signed(by);
    }

    fn end_spill(&self, class: Class, seen: FlowRoom) {
        let room = &mut self.rooms.borrow_mut()[class as usize];
        if room.spilled == seen.spilled {
            room.spilled = 0;
        }
    }

    fn clear_filter(&self) {
        let (halves, asked) = &mut *self.filter.borrow_mut();
        halves[1 - *asked].clear();
    }

    fn note_in_filter(&self, keys: &[Tuple]) {
        let (halves, asked) = &mut *self.filter.borrow_mut();
        halves[1 - *asked].extend(keys);
    }

    fn ask_other_filter(&self) {
        let (_, asked) = &mut *self.filter.borrow_mut();
        *asked = 1 - *asked;
    }
}

impl Memory {
    fn put(&self, table: MapName, key: Tuple, to: Tuple, flags: FlowFlags, seen: u32) {
        let (service, backend, generation) = (ServiceId(1), BackendId(1), Generation(1));
        let entry = Flow { to, service, backend, generation, flags, seen, checked: seen, hop: NextHop::NONE };
        self.tables.borrow_mut().entry(table).or_default().insert(key, entry);
    }

    /// Both entries of the flow of client port `port`.
    fn pair(&self, table: MapName, proto: Proto, port: u16, flags: [FlowFlags; 2], seen: [u32; 2]) {
        let key = tuple(port, 1, proto);
        let to = tuple(port, 2, proto);
        self.put(table, key, to, flags[0].with(FlowFlags::FORWARD), seen[0]);
        self.put(table, to.reversed(), key.reversed(), flags[1], seen[1]);
    }

    /// A connection of client port `port`.
    fn connect(&self, port: u16, flags: [FlowFlags; 2], seen: [u32; 2]) {
        let end = |last| End::new(addr(last), Port::new(80));
        let side = |index: usize| Side { flags: flags[index], seen: seen[index] };
        let (service, backend, generation) = (ServiceId(1), BackendId(1), Generation(1));
        let (frontend, target) = (end(1), end(2));
        let connection = Connection { frontend, target, service, backend, generation, client: side(0), reply: side(1) };
        self.connections.borrow_mut().insert(End::new(addr(9), Port::new(port)), connection);
    }

    /// Whether programs that ask for the client's key of port `port` look into the flow tables.
    fn may_hold(&self, port: u16) -> bool {
        let (halves, asked) = &*self.filter.borrow();
        halves[*asked].contains(&tuple(port, 1, Proto::TCP))
    }

    fn left(&self) -> usize {
        self.tables.borrow().values().map(HashMap::len).sum()
    }

    fn sweep(&self, now: u32) -> Swept {
        sweep(self, &Timeouts::default(), || now).expect("memory does not fail")
    }
}

const fn addr(last: u8) -> Addr {
    Addr::v4_word(u32::from_ne_bytes([192, 0, 2, last]))
}

fn tuple(port: u16, to: u8, proto: Proto) -> Tuple {
    Tuple::new(addr(9), Port::new(port), addr(to), Port::new(80), proto)
}

const NONE: FlowFlags = FlowFlags(0);
const EST: FlowFlags = FlowFlags::ESTABLISHED;

#[test]
fn pairs_go_together() {
    let flows = Memory::default();
    flows.pair(MapName::FlowsSpill, Proto::TCP, 1, [NONE; 2], [0, 50_000]);
    flows.pair(MapName::Flows, Proto::TCP, 2, [EST; 2], [0; 2]);
    flows.pair(MapName::FlowsAnySpill, Proto::UDP, 3, [NONE; 2], [0; 2]);
    flows.pair(MapName::FlowsAny, Proto::UDP, 4, [NONE, FlowFlags::ANSWERED], [0; 2]);
    assert_eq!(flows.sweep(29_000), Swept { entries: [2; 4], expired: [0; 4], ..Swept::default() });
    assert_eq!(flows.sweep(30_000), Swept { entries: [2, 2, 2, 0], expired: [0, 0, 0, 2], ..Swept::default() });
    assert_eq!(flows.sweep(100_000), Swept { entries: [2, 2, 2, 0], expired: [0; 4], ..Swept::default() });
    assert_eq!(flows.sweep(110_000), Swept { entries: [2, 0, 2, 0], expired: [0, 2, 0, 0], ..Swept::default() });
    assert_eq!(flows.sweep(86_400_000), Swept { entries: [0; 4], expired: [2, 0, 2, 0], ..Swept::default() });
    assert_eq!(flows.left(), 0);
}

#[test]
fn a_flow_between_two_tables_is_one() {
    let flows = Memory::default();
    let (key, to) = (tuple(1, 1, Proto::TCP), tuple(1, 2, Proto::TCP));
    flows.put(MapName::FlowsSpill, key, to, FlowFlags::FORWARD, 0);
    flows.put(MapName::Flows, to.reversed(), key.reversed(), EST, 0);
    assert_eq!(flows.sweep(3_600_000).expired, [0; 4]);
    assert_eq!(flows.sweep(86_400_000).expired.iter().sum::<u32>(), 2);
}

#[test]
fn what_had_a_packet_during_the_sweep_stays() {
    let flows = Memory::default();
    flows.pair(MapName::FlowsAny, Proto::UDP, 1, [NONE, FlowFlags::ANSWERED], [0; 2]);
    let asked = std::cell::Cell::new(0);
    let clock = || {
        if asked.replace(asked.get() + 1) == 1 {
            flows.pair(MapName::FlowsAny, Proto::UDP, 1, [NONE, FlowFlags::ANSWERED], [200_000; 2]);
        }
        200_000
    };
    let swept = sweep(&flows, &Timeouts::default(), clock).expect("memory does not fail");
    assert_eq!((swept.expired, flows.left()), ([0; 4], 2));
}

#[test]
fn another_flow_that_took_the_tuple_stays() {
    let flows = Memory::default();
    flows.pair(MapName::Flows, Proto::TCP, 1, [EST.with(FlowFlags::FIN); 2], [0; 2]);
    let asked = std::cell::Cell::new(0);
    let key = tuple(1, 1, Proto::TCP);
    let clock = || {
        if asked.replace(asked.get() + 1) == 1 {
            flows.put(MapName::Flows, key, tuple(1, 3, Proto::TCP), FlowFlags::FORWARD, 0);
        }
        60_000
    };
    let swept = sweep(&flows, &Timeouts::default(), clock).expect("memory does not fail");
    assert_eq!((swept.expired.iter().sum::<u32>(), flows.left()), (1, 1), "the old reply's entry goes, the new client's stays");
}

#[test]
fn embryonic_flows_that_expire_leave_the_count() {
    let flows = Memory::default();
    (1..=5).for_each(|port| flows.pair(MapName::Flows, Proto::TCP, port, [NONE; 2], [0; 2]));
    flows.pair(MapName::Flows, Proto::TCP, 6, [EST, NONE], [0; 2]);
    flows.count_embryonic(Class::Tcp, 5);
    flows.sweep(59_000);
    assert_eq!(flows.room(Class::Tcp).embryonic, 5);
    flows.sweep(60_000);
    assert_eq!((flows.room(Class::Tcp).embryonic, flows.left()), (0, 2));
}

#[test]
fn a_count_that_is_off_is_put_right_and_a_little_is_nothing() {
    for (counted, after) in [(-1_000, -54), (1_000, 74), (0, 0), (60, 60), (10, 10)] {
        let flows = Memory::default();
        (1..=10).for_each(|port| flows.pair(MapName::FlowsAny, Proto::UDP, port, [NONE; 2], [0; 2]));
        flows.count_embryonic(Class::Any, counted);
        flows.sweep(1_000);
        assert_eq!(flows.room(Class::Any).embryonic.cast_signed(), after, "{counted}");
    }
}

#[test]
fn a_spill_ends_once_it_is_empty_and_nobody_is_on_the_way_there() {
    let flows = Memory::default();
    flows.pair(MapName::FlowsSpill, Proto::TCP, 1, [NONE; 2], [5_000; 2]);
    flows.rooms.borrow_mut()[0].spilled = 5_000;
    flows.sweep(64_000);
    assert!(flows.room(Class::Tcp).spills(), "a flow stands there");
    flows.rooms.borrow_mut()[0].spilled = 64_500;
    flows.sweep(65_400);
    assert!(flows.left() == 0 && flows.room(Class::Tcp).spills(), "one may be on the way");
    flows.sweep(65_500);
    assert!(!flows.room(Class::Tcp).spills());
}

#[test]
fn a_table_that_fills_lets_closed_flows_go_soon_and_then_idle_ones() {
    let mut flows = Memory { capacity: 64, ..Memory::default() };
    let closed = EST.with(FlowFlags::FIN);
    (1..=10).for_each(|port| flows.pair(MapName::Flows, Proto::TCP, port, [closed, FlowFlags::FIN], [100_000; 2]));
    (11..=20).for_each(|port| flows.pair(MapName::Flows, Proto::TCP, port, [EST, NONE], [u32::from(port) * 100; 2]));
    assert_eq!(flows.sweep(106_000).expired[0], 0, "40 of 64 entries");
    flows.capacity = 48;
    assert_eq!(flows.sweep(106_000).expired[0], 20, "40 of 48: the closed ones go");
    (21..=29).for_each(|port| flows.pair(MapName::Flows, Proto::TCP, port, [EST, NONE], [105_000; 2]));
    flows.capacity = 36;
    let swept = flows.sweep(106_000);
    assert!((3..=4).contains(&(swept.expired[0] / 2)), "38 of 36: those idle for longest, until an eighth is free: {swept:?}");
    assert!(flows.tables.borrow()[&MapName::Flows].contains_key(&tuple(20, 1, Proto::TCP)));
    flows.capacity = 16;
    flows.sweep(106_000);
    assert_eq!(flows.left(), 18, "those with a packet within the last minute stay, whatever the room");
}

#[test]
fn what_stands_in_the_spill_presses_on_nobody_in_the_table() {
    let flows = Memory { capacity: 64, ..Memory::default() };
    (1..=26).for_each(|port| flows.pair(MapName::Flows, Proto::TCP, port, [EST, NONE], [0; 2]));
    (101..=116).for_each(|port| flows.pair(MapName::FlowsSpill, Proto::TCP, port, [NONE; 2], [99_000; 2]));
    assert_eq!(flows.sweep(100_000).expired, [0; 4], "52 of 64 entries");
}

#[test]
fn where_places_are_few_a_datagram_that_was_answered_once_goes_soon() {
    let flows = Memory::default();
    flows.rooms.borrow_mut()[1].quota = 4;
    flows.pair(MapName::FlowsAny, Proto::UDP, 1, [EST, FlowFlags::ANSWERED], [0; 2]);
    (2..=4).for_each(|port| flows.pair(MapName::FlowsAny, Proto::UDP, port, [NONE, FlowFlags::ANSWERED], [0; 2]));
    assert_eq!(flows.sweep(6_000).expired, [0; 4], "three of four places");
    flows.pair(MapName::FlowsAny, Proto::UDP, 5, [NONE, FlowFlags::ANSWERED], [0; 2]);
    assert_eq!(flows.sweep(6_000).expired, [0, 0, 8, 0]);
    assert_eq!(flows.left(), 2, "the one whose client spoke again stays");
}

#[test]
fn connections_end_as_flows_do() {
    let flows = Memory::default();
    let (fin, answered) = (FlowFlags::FIN, FlowFlags::ANSWERED);
    flows.connect(1, [NONE, answered], [0; 2]);
    flows.connect(2, [EST.with(fin), answered.with(fin)], [0, 10_000]);
    flows.connect(3, [EST.with(FlowFlags::RST), answered], [0; 2]);
    flows.connect(4, [EST, answered], [0; 2]);
    flows.count_embryonic(Class::Tcp, 1);
    let ended = |now| {
        let swept = flows.sweep(now);
        (swept.ended, swept.connections, flows.room(Class::Tcp).embryonic)
    };
    assert_eq!(ended(9_000), (0, 4, 1));
    assert_eq!(ended(10_000), (1, 3, 1), "reset");
    assert_eq!(ended(60_000), (1, 2, 0), "not answered by its client");
    assert_eq!(ended(70_000), (1, 1, 0), "ended by both, a minute after the later packet");
    assert_eq!(ended(86_399_000), (0, 1, 0));
    assert_eq!(ended(86_400_000), (1, 0, 0));
}

#[test]
fn where_connections_fill_their_table_only_what_carries_nothing_goes_soon() {
    let flows = Memory { capacity: 8, ..Memory::default() };
    let closed = EST.with(FlowFlags::FIN);
    (1..=5).for_each(|port| flows.connect(port, [EST, NONE], [0; 2]));
    flows.connect(6, [closed; 2], [0; 2]);
    assert_eq!(flows.sweep(6_000).ended, 0, "six of eight");
    flows.connect(7, [closed; 2], [0; 2]);
    assert_eq!(flows.sweep(6_000).ended, 2);
    (6..=8).for_each(|port| flows.connect(port, [EST, NONE], [0; 2]));
    (11..=14).for_each(|port| flows.pair(MapName::Flows, Proto::TCP, port, [EST, NONE], [0; 2]));
    let swept = flows.sweep(3_600_000);
    assert!(swept.expired[0] > 0, "the flow table makes room");
    assert_eq!(swept.ended, 0, "a connection that is idle takes nobody's place: others have room among the flows");
}

#[test]
fn a_connection_that_had_a_packet_during_the_sweep_stays() {
    let flows = Memory::default();
    flows.connect(1, [EST.with(FlowFlags::RST), NONE], [0; 2]);
    let asked = std::cell::Cell::new(0);
    // Twice for each class and once for all connections, before they are looked at again.
    let clock = || {
        if asked.replace(asked.get() + 1) == 4 {
            flows.connect(1, [NONE; 2], [20_000; 2]);
        }
        20_000
    };
    let swept = sweep(&flows, &Timeouts::default(), clock).expect("memory does not fail");
    assert_eq!((swept.ended, flows.connections.borrow().len()), (0, 1));
}

#[test]
fn the_filter_forgets_what_is_gone_and_nothing_else() {
    let flows = Memory::default();
    let mut renewal = Renewal::default();
    let mut step = || renewal.step(&flows).expect("memory does not fail");
    let note = |port: u16| {
        for half in &mut flows.filter.borrow_mut().0 {
            half.insert(tuple(port, 1, Proto::TCP));
        }
    };
    for port in [1, 2] {
        note(port);
    }
    flows.pair(MapName::Flows, Proto::TCP, 1, [EST; 2], [0; 2]);
    for turn in 1..=9 {
        step();
        assert!(flows.may_hold(1), "a flow that is there is found, after step {turn}");
        assert_eq!(flows.may_hold(2), turn < 3, "one that is gone is forgotten once the other half is asked, at step {turn}");
        // Noted before the half is cleared, and in its table before that gets the tables' keys.
        if turn == 3 {
            note(3);
        } else if turn == 4 {
            flows.pair(MapName::Flows, Proto::TCP, 3, [EST; 2], [0; 2]);
        }
        assert_eq!(flows.may_hold(3), turn >= 3, "at step {turn}");
    }
}

#[test]
fn connections_count_among_what_is_embryonic() {
    let flows = Memory::default();
    (1..=200).for_each(|port| flows.connect(port, [NONE; 2], [0; 2]));
    flows.count_embryonic(Class::Tcp, 200);
    flows.sweep(1_000);
    assert_eq!(flows.room(Class::Tcp).embryonic, 200);
}

#[test]
fn a_table_of_connections_that_is_half_full_is_swept_often() {
    let flows = Memory { capacity: 8, ..Memory::default() };
    (1..=4).for_each(|port| flows.connect(port, [EST, NONE], [0; 2]));
    assert_eq!(next_interval(&flows, &flows.sweep(0)), SWEEP_INTERVAL);
    flows.connect(5, [EST, NONE], [0; 2]);
    assert_eq!(next_interval(&flows, &flows.sweep(0)), BUSY_INTERVAL);
}
