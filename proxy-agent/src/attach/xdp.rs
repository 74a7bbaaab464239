//! The XDP links of uplinks: where native XDP is sound, and what the operator asked for. Pure.

use super::edges::{Classified, Edge};
use super::links::{Wanted, pin_name};
use super::sys::{Target, XdpPlace};
use crate::config::XdpMode;

const PROGRAM: &str = "uplink_xdp";
const GENERIC_PIN: &str = "uplink_xdp_generic";

/// The XDP link that a device shall have.
///
/// Frames that XDP sends from a veth arrive only if its peer runs XDP too, and its local senders leave checksums to hardware
/// that is not there: `Auto` means tc on such a device, and on all that stand on top of another.
pub fn link(device: &Classified, mode: XdpMode) -> Option<Wanted> {
    let place = match mode {
        XdpMode::Off => None,
        XdpMode::Auto => matches!(device.kind.as_str(), "" | "bond").then_some(XdpPlace::Native),
        XdpMode::Require => Some(XdpPlace::Native),
        XdpMode::Generic => Some(XdpPlace::Generic),
    }?;
    let pin = match place {
        XdpPlace::Native => PROGRAM,
        XdpPlace::Generic => GENERIC_PIN,
    };
    (device.edge == Edge::Uplink).then(|| Wanted {
        pin: pin_name(pin, &device.name),
        program: PROGRAM,
        target: Target::Xdp { device: device.index },
        place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::edges::Why;

    #[test]
    fn where_xdp_runs() {
        let pin = |kind: &str, edge, mode| {
            let device = Classified { index: 7, name: "d0".into(), kind: kind.into(), edge, why: Why::Configured };
            link(&device, mode).map(|link| link.pin)
        };
        let native = Some("uplink_xdp-d0".to_owned());
        assert_eq!(pin("", Edge::Uplink, XdpMode::Auto), native);
        assert_eq!(pin("bond", Edge::Uplink, XdpMode::Auto), native);
        assert_eq!(pin("veth", Edge::Uplink, XdpMode::Auto), None);
        assert_eq!(pin("vlan", Edge::Uplink, XdpMode::Auto), None);
        assert_eq!(pin("veth", Edge::Uplink, XdpMode::Require), native);
        assert_eq!(pin("veth", Edge::Uplink, XdpMode::Generic), Some("uplink_xdp_generic-d0".to_owned()));
        assert_eq!(pin("", Edge::Uplink, XdpMode::Off), None);
        assert_eq!(pin("vxlan", Edge::Overlay, XdpMode::Require), None);
    }
}
