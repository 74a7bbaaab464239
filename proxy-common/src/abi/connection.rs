//! Connections: TCP flows whose client keeps its address and port. One entry stands for both directions, under the client's end.

use super::{Addr, BackendId, Flow, FlowFlags, Generation, NextHop, Port, Proto, ServiceId, Tuple};
use bytemuck::{Pod, Zeroable};

/// An end of a connection; as the client's, key of CONNECTIONS. 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct End {
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
    zero: u16,
}

/// Value of CONNECTIONS. 68 bytes.
///
/// All but the two sides stays as it was made; each side is written only by packets of its own direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Connection {
    /// What the client dialled.
    pub frontend: End,
    /// Where its packets go.
    pub target: End,
    /// The service port that was dialled.
    pub service: ServiceId,
    /// The backend that was chosen.
    pub backend: BackendId,
    /// Its generation at that time.
    pub generation: Generation,
    /// The client's packets.
    pub client: Side,
    /// The replies.
    pub reply: Side,
}

/// One direction of a connection. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Side {
    /// How far it has come.
    pub flags: FlowFlags,
    /// Time of its last packet: milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
    pub seen: u32,
}

impl End {
    /// An end.
    #[inline(always)]
    pub const fn new(addr: Addr, port: Port) -> Self {
        Self { addr, port, zero: 0 }
    }

    const fn tuple_to(&self, other: &Self) -> Tuple {
        Tuple::new(self.addr, self.port, other.addr, other.port, Proto::TCP)
    }
}

impl Tuple {
    /// Where packets with this tuple come from.
    #[inline(always)]
    pub const fn source(&self) -> End {
        End::new(self.src, self.sport)
    }

    /// Where packets with this tuple go to.
    #[inline(always)]
    pub const fn destination(&self) -> End {
        End::new(self.dst, self.dport)
    }
}

impl Connection {
    /// Whether one side has begun to end it.
    #[inline(always)]
    pub const fn is_closing(&self) -> bool {
        self.client.flags.with(self.reply.flags).any(FlowFlags::CLOSING)
    }

    /// Whether both sides have ended it, or one has aborted it.
    #[inline(always)]
    pub const fn is_over(&self) -> bool {
        FlowFlags::are_over(self.client.flags, self.reply.flags)
    }

    /// Whether the client has not answered the reply yet.
    #[inline(always)]
    pub const fn is_embryonic(&self) -> bool {
        !self.client.flags.has(FlowFlags::ESTABLISHED)
    }

    /// The two entries that the connection would have in a flow table: the client's and the reply's.
    pub const fn entries(&self, client: &End) -> [(Tuple, Flow); 2] {
        let (dialled, reply) = (client.tuple_to(&self.frontend), self.target.tuple_to(client));
        let forward = self.entry(reply.reversed(), self.client, FlowFlags::FORWARD);
        [(dialled, forward), (reply, self.entry(dialled.reversed(), self.reply, FlowFlags(0)))]
    }

    const fn entry(&self, to: Tuple, side: Side, kind: FlowFlags) -> Flow {
        let Self { service, backend, generation, .. } = *self;
        let Side { flags, seen } = side;
        Flow { to, service, backend, generation, flags: flags.with(kind), seen, checked: seen, hop: NextHop::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn a_connection_stands_for_two_entries() {
        let end = |text: &str, port| End::new(text.parse::<IpAddr>().expect("an address").into(), Port::new(port));
        let (client, frontend, target) = (end("192.0.2.9", 40_000), end("10.96.0.1", 80), end("10.1.0.7", 8080));
        let (service, backend, generation) = (ServiceId(1), BackendId(2), Generation(3));
        let (client_side, reply) =
            (Side { flags: FlowFlags::ESTABLISHED, seen: 5 }, Side { flags: FlowFlags::ANSWERED, seen: 7 });
        let connection = Connection { frontend, target, service, backend, generation, client: client_side, reply };
        let tuple = |from: End, to: End| Tuple::new(from.addr, from.port, to.addr, to.port, Proto::TCP);
        let flow = |to, flags, seen| Flow { to, service, backend, generation, flags, seen, checked: seen, hop: NextHop::NONE };
        let forward = FlowFlags::FORWARD.with(FlowFlags::ESTABLISHED);
        assert_eq!(
            connection.entries(&client),
            [
                (tuple(client, frontend), flow(tuple(client, target), forward, 5)),
                (tuple(target, client), flow(tuple(frontend, client), FlowFlags::ANSWERED, 7)),
            ]
        );
    }
}
