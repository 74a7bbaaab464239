//! The layout of every type that kernel and user space share, asserted when it is compiled and listed when it is tested.

use super::{
    Addr, AddressFlags, Affinity, AffinityKey, Backend, BackendFlags, BackendId, BackendState, Bucket, Cidr, Config,
    Connection, Counter, Descriptor, DeviceFlags, End, Flow, FlowFlags, FlowRoom, Frontend, FrontendKey, FrontendKind,
    Generation, Masquerade, NextHop, PeerKey, PeerValue, Port, PortRange, ProgramState, Proto, RangeSet, Scratch, ServiceFlags,
    ServiceId, ServiceName, ServiceWord, Side, SlotRange, SocketState, Source, SourceRange, Tuple,
};

macro_rules! sizes {
    ($($type:ident: $size:literal,)*) => {
        $(const _: () = assert!(size_of::<$type>() == $size);)*

        /// Name and size of each type.
        #[cfg(test)]
        const SIZES: &[(&str, usize)] = &[$((stringify!($type), $size),)*];
    };
}

sizes! {
    Addr: 16,
    AddressFlags: 4,
    Affinity: 12,
    AffinityKey: 24,
    Backend: 24,
    BackendFlags: 2,
    BackendId: 4,
    BackendState: 4,
    Bucket: 8,
    Cidr: 36,
    Config: 464,
    Connection: 68,
    Counter: 16,
    Descriptor: 36,
    DeviceFlags: 4,
    End: 20,
    Flow: 104,
    FlowFlags: 4,
    FlowRoom: 64,
    Frontend: 8,
    FrontendKey: 20,
    FrontendKind: 4,
    Generation: 4,
    Side: 8,
    Masquerade: 4,
    NextHop: 40,
    PeerKey: 32,
    PeerValue: 32,
    Port: 2,
    PortRange: 4,
    ProgramState: 8,
    Proto: 1,
    RangeSet: 4,
    Scratch: 360,
    ServiceFlags: 4,
    ServiceId: 4,
    ServiceName: 196,
    ServiceWord: 8,
    SlotRange: 8,
    SocketState: 52,
    Source: 20,
    SourceRange: 24,
    Tuple: 40,
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
