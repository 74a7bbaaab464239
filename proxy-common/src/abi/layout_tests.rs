//! The version of the layout changes whenever the layout does: the listing of sizes, offsets, bits and names is hashed and held
//! against the hash of the version in force.

use super::*;
use crate::abi::version::TRANSLATED_MARK;
use crate::abi::{
    ABI_VERSION, FLOW_FILTER_ASKED, FLOW_FILTER_LEN, Family, Hook, INTEREST_FRONTEND, INTEREST_LEN, INTEREST_NODE, PORT_RANGES,
    Reason,
};
use std::fmt::Write as _;

/// The hash of each version's listing. A layout that has changed gets a new version and a line of its own here.
const HASHES: &[(u32, u64)] = &[
    (2, 0xd53c_445a_7019_c08c),
    (3, 0x9c23_b142_3d10_33a0),
    (4, 0xb094_cb23_e43b_51e0),
    (5, 0x1dd6_dd27_eeb5_0f0d),
    (6, 0x1f85_b6d8_92bc_8ef7),
    (7, 0x322f_bfc1_0894_c761),
    (8, 0x9458_b708_9f9c_f142),
    (9, 0x54ea_c6ac_33ca_d60f),
    (10, 0xa5a5_ab56_3b29_bf1a),
    (11, 0x6fae_af6e_ae8f_0abf),
    (12, 0xb3d8_abda_5f11_046a),
];

macro_rules! fields {
    ($out:ident, $($type:ident { $($field:ident)* })*) => {
        $($(writeln!($out, "{}.{} {}", stringify!($type), stringify!($field), core::mem::offset_of!($type, $field)).unwrap();)*)*
    };
}

#[test]
fn the_version_changes_with_the_layout() {
    let listing = listing();
    let wanted = HASHES.iter().find(|(version, _)| *version == ABI_VERSION).map(|(_, hash)| *hash);
    let found = hash(&listing);
    assert_eq!(
        wanted,
        Some(found),
        "the layout is not that of version {ABI_VERSION}: raise ABI_VERSION and add ({ABI_VERSION} + 1, {found:#x}) to HASHES\n{listing}"
    );
}

#[test]
fn no_two_versions_are_the_same() {
    for (index, (version, hash)) in HASHES.iter().enumerate() {
        let others = HASHES.iter().skip(index + 1);
        assert!(others.clone().all(|(other, _)| other > version), "versions go up");
        assert!(others.clone().all(|(_, other)| other != hash), "version {version} was there already");
    }
}

fn listing() -> String {
    let mut out = String::new();
    SIZES.iter().for_each(|(name, size)| writeln!(out, "{name} {size}").unwrap());
    fields! { out,
        Affinity { backend generation since }
        Backend { addr port flags generation }
        Bucket { tokens filled }
        Config { abi epoch netns cluster_cidrs ports port_count check_sockets icmp_per_second masquerade service_cidr_count service_cidrs primary }
        Connection { frontend target service backend generation client reply }
        Counter { packets bytes }
        Descriptor { first room cluster local flags affinity sources }
        End { addr port }
        Flow { to service backend generation flags seen checked hop }
        FlowRoom { embryonic quota spilled }
        Frontend { service kind }
        FrontendKey { addr port proto }
        Side { flags seen }
        NextHop { gateway device epoch link family by_xdp }
        PeerValue { addr port service backend generation }
        PortRange { first count }
        ProgramState { cursor draws }
        Scratch { to hop client connection flow reply victim victim_seen victim_port }
        ServiceName { proto }
        SlotRange { first count }
        SocketState { frontend backend_addr service backend generation backend_port }
        Source { set addr }
        Tuple { src dst sport dport proto }
    }
    values(&mut out);
    out
}

/// What has no public fields, by an example; bits; and the order of counters.
fn values(out: &mut String) {
    let addr = Addr::v6_words([1, 2, 3, 4]);
    let port = Port::new(0x1234);
    let name = ServiceName::new("a", "b", "c", Proto::TCP, Family::V6).unwrap();
    writeln!(out, "{:?}", bytemuck::bytes_of(&AffinityKey::of_address(ServiceId(9), &addr))).unwrap();
    writeln!(out, "{:?}", bytemuck::bytes_of(&AffinityKey::of_namespace(ServiceId(9), 7))).unwrap();
    writeln!(out, "{:?}", bytemuck::bytes_of(&PeerKey::to_frontend(7, addr, port))).unwrap();
    writeln!(out, "{:?}", bytemuck::bytes_of(&PeerKey::from_backend(7, addr, port))).unwrap();
    writeln!(out, "{:?}", bytemuck::bytes_of(&Cidr::new(addr, 100))).unwrap();
    writeln!(out, "{:?}", bytemuck::bytes_of(&name)).unwrap();
    writeln!(out, "{:?} {}", bytemuck::bytes_of(&SourceRange::new(RangeSet(9), addr, 100)), Source::BITS).unwrap();
    writeln!(out, "{:?} {:?}", bytemuck::bytes_of(&ServiceWord::of(5)), bytemuck::bytes_of(&ServiceWord::NONE)).unwrap();
    let flags = [FlowFlags::FORWARD, FlowFlags::MASQUERADE, FlowFlags::FROM_NODE, FlowFlags::ANSWERED, FlowFlags::FIN];
    writeln!(out, "{flags:?} {:?} {:?}", FlowFlags::RST, FlowFlags::ESTABLISHED).unwrap();
    let addresses = [AddressFlags::LOCAL, AddressFlags::NODE_PORT, AddressFlags::LOOPBACK];
    let devices = [DeviceFlags::XDP_TARGET, DeviceFlags::LOCAL_PODS];
    writeln!(out, "{addresses:?} {devices:?} {:?}", BackendFlags::LOCAL).unwrap();
    writeln!(out, "{:?} {:?} {:?}", Masquerade::ALL, Masquerade::EXTERNAL, Masquerade::BY_DEVICE).unwrap();
    writeln!(out, "{:?} {:?} {:?}", BackendState::SERVING, BackendState::IN_CLUSTER, BackendState::IN_LOCAL).unwrap();
    let flags = [ServiceFlags::ENDPOINTS, ServiceFlags::INTERNAL_LOCAL, ServiceFlags::EXTERNAL_LOCAL, ServiceFlags::MAGLEV];
    writeln!(out, "{flags:?}").unwrap();
    writeln!(out, "{:?} {:?}", FrontendKind::CLUSTER_IP, FrontendKind::NODE_PORT).unwrap();
    writeln!(out, "{:?} {:?}", FrontendKind::EXTERNAL_IP, FrontendKind::LOAD_BALANCER).unwrap();
    writeln!(out, "{:?} {:?}", FrontendKind::CLUSTER_REST, bytemuck::bytes_of(&FrontendKey::rest_of(addr))).unwrap();
    writeln!(out, "{INTEREST_LEN} {} {PORT_RANGES} {TRANSLATED_MARK}", addr.interest()).unwrap();
    writeln!(out, "{INTEREST_FRONTEND} {INTEREST_NODE}").unwrap();
    let key = Tuple::new(addr, port, Addr::ANY_V4, Port::new(80), Proto::TCP);
    writeln!(out, "{FLOW_FILTER_LEN} {FLOW_FILTER_ASKED} {:?}", key.filter_place()).unwrap();
    Hook::ALL.iter().for_each(|hook| writeln!(out, "{}", hook.label()).unwrap());
    Reason::ALL.iter().for_each(|reason| writeln!(out, "{}", reason.label()).unwrap());
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
