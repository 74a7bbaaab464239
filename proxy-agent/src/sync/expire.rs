//! When a flow is over. Pure: both entries, the clock and the time-outs in, a verdict out.

use proxy_common::abi::{Connection, Flow, FlowFlags, Proto};

/// How long flows outlive their last packet, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// TCP before the client has answered the reply.
    pub embryonic: u32,
    /// TCP.
    pub established: u32,
    /// TCP after both sides sent a FIN.
    pub closed: u32,
    /// TCP after a RST.
    pub reset: u32,
    /// UDP before the first reply.
    pub unanswered: u32,
    /// UDP.
    pub answered: u32,
    /// UDP whose client has not spoken since it was answered.
    pub exchanged: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        const SECOND: u32 = 1_000;
        Self {
            embryonic: 60 * SECOND,
            established: 24 * 60 * 60 * SECOND,
            closed: 60 * SECOND,
            reset: 10 * SECOND,
            unanswered: 30 * SECOND,
            answered: 180 * SECOND,
            exchanged: 180 * SECOND,
        }
    }
}

/// How full a table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Entries in it.
    pub entries: u32,
    /// Entries that fit.
    pub capacity: u32,
    /// Whether flows that are not established take more than three quarters of their places.
    pub crowded: bool,
}

/// What a flow that carries nothing any more gets once its table is three quarters full, a connection too.
const SHORT: u32 = 5_000;
/// What no flow has to fear that had a packet within this time.
const ACTIVE: u32 = 60_000;

impl Timeouts {
    /// Those under which what carries nothing any more goes soon: flows that are closed or that nobody answered.
    #[must_use]
    pub fn hurried(&self) -> Self {
        let short = |timeout: u32| timeout.min(SHORT);
        Self {
            embryonic: short(self.embryonic),
            closed: short(self.closed),
            reset: short(self.reset),
            unanswered: short(self.unanswered),
            exchanged: short(self.exchanged),
            ..*self
        }
    }

    /// The time-outs for a table that fills. Where flows that are not established take most of their places, datagrams that were
    /// answered once go soon, as queries of DNS. From three quarters on, flows that are closed or that nobody answered go soon; from
    /// fifteen sixteenths on, those that have been idle for longest, until an eighth is free.
    #[must_use]
    pub fn under_pressure<'a>(&self, room: Room, flows: impl Iterator<Item = &'a FlowState> + Clone, now: u32) -> Self {
        let Room { entries, capacity, crowded } = room;
        if entries <= capacity / 4 * 3 {
            return if crowded { Self { exchanged: self.exchanged.min(SHORT), ..*self } } else { *self };
        }
        let mut eased = self.hurried();
        let stay = flows.clone().filter(|flow| !flow.is_expired(now, &eased));
        let mut idle: Vec<u32> = stay.map(|flow| flow.age(now)).collect();
        let pairs = |sixteenths: usize| capacity as usize * sixteenths / 32;
        if idle.len() > pairs(15) {
            let (_, longest, _) = idle.select_nth_unstable(pairs(14));
            let limit = (*longest).max(ACTIVE);
            eased.established = eased.established.min(limit);
            eased.answered = eased.answered.min(limit);
        }
        eased
    }
}

/// What is known of a flow: of one entry, or of both together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowState {
    /// Time of the last packet in either direction.
    pub seen: u32,
    proto: Proto,
    forward: Option<FlowFlags>,
    reply: Option<FlowFlags>,
}

/// A packet may be newer than the moment at which the sweep began.
const AHEAD: u32 = 60_000;

impl FlowState {
    /// One entry.
    pub const fn of(entry: &Flow) -> Self {
        let (forward, reply) =
            if entry.flags.has(FlowFlags::FORWARD) { (Some(entry.flags), None) } else { (None, Some(entry.flags)) };
        Self { seen: entry.seen, proto: entry.to.proto, forward, reply }
    }

    /// A connection.
    pub fn of_connection(connection: &Connection) -> Self {
        let Connection { client, reply, .. } = connection;
        let client = Self { seen: client.seen, proto: Proto::TCP, forward: Some(client.flags), reply: None };
        client.with(Self { seen: reply.seen, proto: Proto::TCP, forward: None, reply: Some(reply.flags) })
    }

    /// Whether the client has not answered the reply yet, as far as is known.
    pub fn is_embryonic(&self) -> bool {
        self.forward.is_some_and(|flags| !flags.has(FlowFlags::ESTABLISHED))
    }

    /// Both together. A flow that is moving from one table to the other has an entry in each, whose bits add up.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let later = self.seen.wrapping_sub(other.seen) < u32::MAX / 2;
        let both = |a: Option<FlowFlags>, b: Option<FlowFlags>| a.map_or(b, |a| Some(b.map_or(a, |b| a.with(b))));
        Self {
            seen: if later { self.seen } else { other.seen },
            proto: self.proto,
            forward: both(self.forward, other.forward),
            reply: both(self.reply, other.reply),
        }
    }

    /// Whether the flow is over.
    pub fn is_expired(&self, now: u32, timeouts: &Timeouts) -> bool {
        self.age(now) >= self.timeout(timeouts)
    }

    /// Milliseconds since the last packet.
    const fn age(&self, now: u32) -> u32 {
        let age = now.wrapping_sub(self.seen);
        if age > u32::MAX - AHEAD { 0 } else { age }
    }

    fn timeout(&self, timeouts: &Timeouts) -> u32 {
        let any = |flag| [self.forward, self.reply].into_iter().flatten().any(|flags| flags.has(flag));
        let both = |flag| [self.forward, self.reply].into_iter().flatten().all(|flags| flags.has(flag));
        let answered = self.reply.is_some_and(|flags| flags.has(FlowFlags::ANSWERED));
        match self.proto {
            Proto::UDP if answered && any(FlowFlags::ESTABLISHED) => timeouts.answered,
            Proto::UDP if answered => timeouts.exchanged,
            Proto::UDP => timeouts.unanswered,
            _ if any(FlowFlags::RST) => timeouts.reset,
            _ if both(FlowFlags::FIN) => timeouts.closed,
            _ if any(FlowFlags::ESTABLISHED) => timeouts.established,
            _ => timeouts.embryonic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: FlowFlags = FlowFlags::FORWARD;
    const EST: FlowFlags = FlowFlags::ESTABLISHED;

    fn state(seen: u32, forward: Option<FlowFlags>, reply: Option<FlowFlags>) -> FlowState {
        FlowState { seen, proto: Proto::UDP, forward, reply }
    }

    /// The second after which the flow is over.
    fn life(proto: Proto, forward: FlowFlags, reply: FlowFlags) -> u32 {
        let flow = FlowState { proto, ..state(0, Some(forward), Some(reply)) };
        let timeouts = Timeouts::default();
        (0..100_000).find(|second| flow.is_expired(second * 1_000, &timeouts)).expect("it ends")
    }

    #[test]
    fn each_kind_of_flow_has_its_time() {
        let none = FlowFlags::default();
        let (fin, rst, answered) = (FlowFlags::FIN, FlowFlags::RST, FlowFlags::ANSWERED);
        assert_eq!(life(Proto::TCP, F, none), 60, "embryonic");
        assert_eq!(life(Proto::TCP, F, answered), 60, "answered, but not by the client");
        assert_eq!(life(Proto::TCP, F.with(EST), EST), 86_400, "established");
        assert_eq!(life(Proto::TCP, F.with(EST).with(fin), EST), 86_400, "half closed");
        assert_eq!(life(Proto::TCP, F.with(EST).with(fin), EST.with(fin)), 60, "closed");
        assert_eq!(life(Proto::TCP, F.with(EST), EST.with(rst)), 10, "reset");
        assert_eq!(life(Proto::UDP, F.with(answered), none), 30, "the client alone speaks");
        assert_eq!(life(Proto::UDP, F, answered), 180, "answered");
    }

    #[test]
    fn either_direction_keeps_the_flow() {
        let (old, new) = (state(1_000, Some(F), None), state(50_000, None, Some(FlowFlags::ANSWERED)));
        let both = old.with(new);
        assert_eq!((both, new.with(old)), (state(50_000, Some(F), Some(FlowFlags::ANSWERED)), both));
        assert!(!both.is_expired(200_000, &Timeouts::default()));
        assert!(old.is_expired(200_000, &Timeouts::default()), "one entry alone, its partner evicted");
    }

    #[test]
    fn the_clock_wraps_and_packets_may_be_newer_than_it() {
        let timeouts = Timeouts::default();
        let flow = state(u32::MAX - 10_000, Some(F), None);
        assert!(!flow.is_expired(10_000, &timeouts));
        assert!(flow.is_expired(20_000, &timeouts));
        assert!(!flow.is_expired(u32::MAX - 10_500, &timeouts), "seen after the sweep began");
        assert_eq!(flow.with(state(5, Some(F), None)).seen, 5, "later, though smaller");
    }
}
