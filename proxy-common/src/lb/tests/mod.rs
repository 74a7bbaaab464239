//! The rules of flows, places, masquerade, source ports and sockets, each against tables in memory.

mod affinity;
mod connections;
mod flows;
mod masquerade;
mod places;
mod policies;
mod races;
mod rate;
mod room;
mod select;
mod snat;
mod socket;
mod sources;
mod udp;
mod world;
mod xdp;
