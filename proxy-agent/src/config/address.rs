//! Addresses, ports and CIDRs in flags and fields.

use super::error::{ConfigError, Setting};
use super::settings::{ClusterCidrs, NodePortAddresses};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proxy_common::abi::SERVICE_CIDRS;
use std::net::{IpAddr, SocketAddr};

const CIDR: &str = "a CIDR such as 10.244.0.0/16 or fd00:10:244::/56";

/// `IP:PORT`, or an IP whose port is `port`.
pub fn bind(setting: Setting, text: &str, port: u16) -> Result<SocketAddr, ConfigError> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(text.trim_matches(['[', ']']).parse().ok()?, port)))
        .filter(|address: &SocketAddr| address.port() != 0)
        .ok_or_else(|| invalid(setting, text, "IP:PORT such as 0.0.0.0:10256 or [::]:10256"))
}

/// One CIDR, or a comma and one of each family.
pub fn cluster_cidrs(setting: Setting, text: &str) -> Result<ClusterCidrs, ConfigError> {
    let mut found = ClusterCidrs::default();
    for item in text.split(',').map(str::trim) {
        let twice = match cidr(setting.clone(), item)? {
            IpNet::V4(net) => found.v4.replace(net).is_some(),
            IpNet::V6(net) => found.v6.replace(net).is_some(),
        };
        if twice {
            return Err(invalid(setting, text, "one CIDR of each family at most, such as 10.244.0.0/16,fd00:10:244::/56"));
        }
    }
    Ok(found)
}

/// CIDRs, as many as programs have room for.
pub fn service_cidrs(setting: Setting, items: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    if items.len() > SERVICE_CIDRS {
        return Err(invalid(setting, &items.join(","), "at most 8 CIDRs"));
    }
    items.iter().map(|item| cidr(setting.clone(), item.trim())).collect()
}

/// `primary` alone, or CIDRs.
pub fn node_port_addresses(setting: Setting, items: &[String]) -> Result<NodePortAddresses, ConfigError> {
    if items.iter().any(|item| item.trim() == "primary") {
        return if items.len() == 1 {
            Ok(NodePortAddresses::Primary)
        } else {
            Err(invalid(setting, &items.join(","), "either primary or CIDRs"))
        };
    }
    let mut cidrs = items.iter().map(|item| cidr(setting.clone(), item.trim())).collect::<Result<Vec<_>, _>>()?;
    if !cidrs.iter().any(|cidr| matches!(cidr, IpNet::V4(_))) {
        cidrs.push(Ipv4Net::default().into());
    }
    if !cidrs.iter().any(|cidr| matches!(cidr, IpNet::V6(_))) {
        cidrs.push(Ipv6Net::default().into());
    }
    Ok(NodePortAddresses::Cidrs(cidrs))
}

/// An IP address.
pub fn ip(setting: Setting, text: &str) -> Result<IpAddr, ConfigError> {
    crate::state::parse_ip(text).ok_or_else(|| invalid(setting, text, "an IP address such as 0.0.0.0 or ::"))
}

pub(super) fn invalid(setting: Setting, value: &str, instead: &'static str) -> ConfigError {
    ConfigError::Invalid { setting, value: value.into(), instead }
}

fn cidr(setting: Setting, text: &str) -> Result<IpNet, ConfigError> {
    crate::state::parse_cidr(text).ok_or_else(|| invalid(setting, text, CIDR))
}
