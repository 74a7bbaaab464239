//! Addresses, ports and CIDRs in flags and fields.

use super::error::{ConfigError, Setting};
use super::settings::{ClusterCidrs, NodePortAddresses};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proxy_common::abi::{PORT_RANGES, SERVICE_CIDRS};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

const CIDR: &str = "a CIDR such as 10.244.0.0/16 or fd00:10:244::/56";

/// An IP alone, without brackets, gets the port; everything else stays as it is.
pub fn with_port(text: &str, port: u16) -> String {
    let bare = text.trim();
    crate::state::parse_ip(bare).map_or_else(|| bare.to_owned(), |ip| SocketAddr::new(ip, port).to_string())
}

/// `IP:PORT`; nothing means not to listen.
pub fn bind(setting: Setting, text: &str) -> Result<Option<SocketAddr>, ConfigError> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.rsplit_once(':').and_then(|(ip, port)| {
        let bracketed = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        // Without brackets nobody knows where an IPv6 address ends.
        let ip = crate::state::parse_ip(bracketed.unwrap_or(ip)).filter(|ip| ip.is_ipv6() == bracketed.is_some())?;
        Some(SocketAddr::new(ip, port.parse().ok().filter(|port| *port != 0)?))
    });
    address.map(Some).ok_or_else(|| invalid(setting, text, "IP:PORT such as 0.0.0.0:10256 or [::]:10256"))
}

/// The address of an API server.
pub fn master(text: &str) -> Result<String, ConfigError> {
    let uri = text.trim().parse::<axum::http::Uri>().ok();
    let known = |uri: &axum::http::Uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some();
    uri.filter(known)
        .map(|uri| uri.to_string())
        .ok_or_else(|| invalid(Setting::Flag("master"), text, "a URL such as https://192.0.2.1:6443"))
}

/// One CIDR, or a comma and one of each family.
pub fn cluster_cidrs(setting: Setting, text: &str) -> Result<ClusterCidrs, ConfigError> {
    let mut found = ClusterCidrs::default();
    for item in text.split(',').map(str::trim) {
        let twice = match cidr(&setting, item)? {
            IpNet::V4(net) => found.v4.replace(net).is_some(),
            IpNet::V6(net) => found.v6.replace(net).is_some(),
        };
        if twice {
            return Err(invalid(setting, text, "one CIDR of each family at most, such as 10.244.0.0/16,fd00:10:244::/56"));
        }
    }
    Ok(found)
}

/// `FIRST-LAST,…` of ports.
pub fn ports(setting: &Setting, items: &[String]) -> Result<Vec<RangeInclusive<u16>>, ConfigError> {
    const PORTS: &str = "at most 8 ranges FIRST-LAST of ports from 1 to 65535, such as 40000-49999";
    if items.len() > PORT_RANGES {
        return Err(invalid(setting.clone(), &items.join(","), PORTS));
    }
    let range = |item: &String| {
        let (first, last) = item.trim().split_once('-')?;
        Some(first.parse().ok()?..=last.parse().ok()?)
            .filter(|range: &RangeInclusive<u16>| *range.start() > 0 && !range.is_empty())
    };
    items.iter().map(|item| range(item).ok_or_else(|| invalid(setting.clone(), item, PORTS))).collect()
}

/// CIDRs, as many as programs have room for.
pub fn service_cidrs(setting: Setting, items: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    if items.len() > SERVICE_CIDRS {
        return Err(invalid(setting, &items.join(","), "at most 8 CIDRs"));
    }
    items.iter().map(|item| cidr(&setting, item.trim())).collect()
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
    let mut cidrs = items.iter().map(|item| cidr(&setting, item.trim())).collect::<Result<Vec<_>, _>>()?;
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

/// A prefix.
pub(super) fn cidr(setting: &Setting, text: &str) -> Result<IpNet, ConfigError> {
    crate::state::parse_cidr(text).ok_or_else(|| invalid(setting.clone(), text, CIDR))
}
