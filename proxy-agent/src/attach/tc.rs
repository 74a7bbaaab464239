//! The tcx links of devices: which programs run at which edge. Pure.

use super::edges::{Classified, Edge};
use super::links::{Wanted, pin_name};
use super::sys::{Target, XdpPlace};

const EDGE_INGRESS: &str = "edge_ingress";
const EDGE_EGRESS: &str = "edge_egress";
const POD_INGRESS: &str = "pod_ingress";

/// The links that a device shall have.
///
/// Pods' devices look replies up, and only with a cluster CIDR: without one nothing that a local pod answers was masqueraded
/// towards the pod.
pub fn links(device: &Classified, masquerades: bool) -> Vec<Wanted> {
    match device.edge {
        Edge::Uplink | Edge::Overlay => vec![link(device, EDGE_INGRESS, false), link(device, EDGE_EGRESS, true)],
        Edge::PodSide if masquerades => vec![link(device, POD_INGRESS, false)],
        Edge::PodSide | Edge::None => Vec::new(),
    }
}

fn link(device: &Classified, program: &'static str, egress: bool) -> Wanted {
    Wanted {
        pin: pin_name(program, &device.name),
        program,
        target: Target::Tcx { device: device.index, egress },
        place: XdpPlace::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::edges::Why;

    #[test]
    fn programs_by_edge() {
        let pins = |edge, masquerades| {
            let device = Classified { index: 7, name: "d0".into(), kind: String::new(), edge, why: Why::Configured };
            links(&device, masquerades).into_iter().map(|link| link.pin).collect::<Vec<_>>()
        };
        assert_eq!(pins(Edge::Uplink, false), ["edge_ingress-d0", "edge_egress-d0"]);
        assert_eq!(pins(Edge::Overlay, true), ["edge_ingress-d0", "edge_egress-d0"]);
        assert_eq!(pins(Edge::PodSide, true), ["pod_ingress-d0"]);
        assert!(pins(Edge::PodSide, false).is_empty());
        assert!(pins(Edge::None, true).is_empty());
    }
}
