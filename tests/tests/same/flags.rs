//! TCP's control bits as a conversation uses them, and as nobody should.

/// FIN.
pub const FIN: u8 = 1;
/// SYN.
pub const SYN: u8 = 2;
/// RST.
pub const RST: u8 = 4;
/// ACK.
pub const ACK: u8 = 16;

/// What clients send, the frequent ones more than once.
pub const FROM_CLIENTS: [u8; 12] = [SYN, SYN, SYN, ACK, ACK, ACK, ACK | 8, ACK | FIN, ACK | RST, RST, SYN | FIN, SYN | ACK];
/// What servers send.
pub const FROM_SERVERS: [u8; 8] = [SYN | ACK, SYN | ACK, SYN | ACK, ACK, ACK, ACK | FIN, RST | ACK, 0];
