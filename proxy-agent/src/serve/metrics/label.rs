//! Values of labels.

use proxy_common::abi::Family;

/// The value of the label `ip_family`, as kube-proxy writes it.
pub const fn family_label(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
