//! Reasons: each is at once a verdict's reason, a counter and a metric's label.

use bytemuck::{Pod, Zeroable};

/// Value of COUNTERS (per CPU), one for each [`Hook`] and [`Reason`]. 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Counter {
    /// Packets, or system calls at a socket hook.
    pub packets: u64,
    /// Bytes of these packets from the link layer on; 0 at a socket hook.
    pub bytes: u64,
}

/// Number of entries in COUNTERS.
pub const COUNTER_SLOTS: u32 = Hook::ALL.len() as u32 * Reason::ALL.len() as u32;

macro_rules! labelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in metrics and in the CLI.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

labelled! {
    /// Where a verdict is given.
    Hook {
        /// The socket hooks of a cgroup.
        Socket = "socket",
        /// A device's tc ingress.
        TcIngress = "tc_ingress",
        /// A device's tc egress.
        TcEgress = "tc_egress",
        /// A device's XDP.
        Xdp = "xdp",
    }
}

labelled! {
    /// Why a packet or a system call met the verdict it met.
    Reason {
        /// No frontend, no flow: not ours.
        Untouched = "untouched",
        /// A later fragment or a fragmented datagram: left to the stack.
        Fragment = "fragment",
        /// IPv4 options, IPv6 extension headers, a cut or malformed header: left to the stack.
        Unparsed = "unparsed",
        /// XDP translated it already.
        Translated = "translated",
        /// XDP leaves it, unmodified, to tc.
        Deferred = "deferred",
        /// TCP to a frontend in the middle of a connection that is not ours.
        MidFlow = "mid_flow",
        /// A first packet or a connecting socket: a backend was chosen.
        Opened = "opened",
        /// As `opened`; the source port was taken by another flow, and exchanged.
        PortExchanged = "port_exchanged",
        /// A packet of a known flow, from the client.
        Forward = "forward",
        /// A packet of a known flow, to the client.
        Reply = "reply",
        /// The service has no endpoint (S21).
        NoEndpoint = "no_endpoint",
        /// The service has endpoints, and its traffic policy is Local, and none of them is on this node (S22, S23).
        NoLocalEndpoint = "no_local_endpoint",
        /// An address of a load balancer, dialled from outside the Service's source ranges (S24).
        SourceRange = "source_range",
        /// A ClusterIP, at a port or protocol that is no service port (S25).
        UnknownPort = "unknown_port",
        /// An address of a ServiceCIDR that is no Service's (S26).
        Unallocated = "unallocated",
        /// As `no_endpoint` and `unknown_port`, beyond the rate of ICMP errors: dropped.
        RejectLimited = "reject_limited",
        /// No source port is free towards the backend.
        PortsExhausted = "ports_exhausted",
        /// A flow table took no entry.
        FlowTableFull = "flow_table_full",
        /// The backend or the client has no route.
        NoRoute = "no_route",
        /// The hop limit ended on this node.
        HopLimit = "hop_limit",
        /// The packet could not be rewritten.
        RewriteFailed = "rewrite_failed",
        /// A process of this node reached a device's egress with a frontend whose backend runs here (no edge sees the reply).
        LocalUnreachable = "local_unreachable",
    }
}

/// What becomes of a packet or of a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// It goes on as it came.
    Pass,
    /// It goes on translated.
    Translate,
    /// It is answered with *port unreachable* or ECONNREFUSED (S28).
    Reject,
    /// It ends here, silently.
    Drop,
}

impl Reason {
    /// What the reason leads to.
    #[inline(always)]
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::Untouched | Self::Fragment | Self::Unparsed | Self::Translated | Self::Deferred | Self::MidFlow => {
                Disposition::Pass
            }
            Self::Opened | Self::PortExchanged | Self::Forward | Self::Reply => Disposition::Translate,
            Self::NoEndpoint | Self::UnknownPort => Disposition::Reject,
            Self::RejectLimited
            | Self::PortsExhausted
            | Self::FlowTableFull
            | Self::NoRoute
            | Self::HopLimit
            | Self::RewriteFailed
            | Self::LocalUnreachable
            | Self::NoLocalEndpoint
            | Self::SourceRange
            | Self::Unallocated => Disposition::Drop,
        }
    }
}

impl Hook {
    /// Index into COUNTERS.
    #[inline(always)]
    pub const fn slot(self, reason: Reason) -> u32 {
        self as u32 * Reason::ALL.len() as u32 + reason as u32
    }
}
