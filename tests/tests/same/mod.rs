//! The same packets through the decisions as they run natively and as the kernel runs them loaded.
//!
//! * [`node`]: a namespace whose routes and neighbours are known, so that the native body can be told what the kernel answers.
//! * [`tables`]: Services that come, change and go, written by the agent's own code into maps that both bodies read.
//! * [`frames`]: what arrives: conversations, strangers and nonsense.
//! * [`native`] and [`kernel`]: the two bodies. [`compare`]: what must be equal. [`complete`]: packets with a sum over all of them.

pub mod compare;
pub mod complete;
pub mod dice;
pub mod flags;
pub mod frames;
pub mod kernel;
pub mod native;
pub mod node;
pub mod tables;
