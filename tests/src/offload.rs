//! Checksum and segmentation offload of a device: on as hosts have it, or off so that every frame on the wire is complete.

use anyhow::Result;

use crate::netns::Netns;

/// Lets the device pass partial checksums and large segments on, as virtual devices do by default.
pub fn on(netns: &Netns, device: &str) -> Result<()> {
    set(netns, device, "on")
}

/// Makes the stack complete every checksum and cut every segment before the device gets the frame. Devices that stand
/// for a wire need it: XDP behind a veth would otherwise see partial checksums and large segments, which no real card delivers.
pub fn off(netns: &Netns, device: &str) -> Result<()> {
    set(netns, device, "off")
}

fn set(netns: &Netns, device: &str, state: &str) -> Result<()> {
    netns.run("ethtool", &["-K", device, "tx", state, "tso", state, "gso", state, "gro", state])?;
    Ok(())
}
