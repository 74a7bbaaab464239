//! Addresses as Kubernetes accepts them: leading zeros are decimal (S10).

use ipnet::IpNet;
use std::borrow::Cow;
use std::net::IpAddr;

/// An address, without white space around it. IPv4 in IPv6 is IPv4, as Go has it.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse::<IpAddr>().or_else(|_| without_zeros(text).parse()).ok().map(|ip| ip.to_canonical())
}

/// A prefix. Bits behind it may be set.
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (ip, length) = text.trim().split_once('/')?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    IpNet::new(parse_ip(ip)?, length.parse().ok().filter(|_| digits)?).ok().map(|net| net.trunc())
}

/// The text with the leading zeros of dotted numbers taken away.
fn without_zeros(text: &str) -> Cow<'_, str> {
    let (head, dotted) = match text.rfind(':') {
        Some(colon) => text.split_at(colon + 1),
        None => ("", text),
    };
    if !dotted.contains('.') {
        return text.into();
    }
    let numbers: Vec<_> = dotted.split('.').map(decimal).collect();
    format!("{head}{}", numbers.join(".")).into()
}

fn decimal(number: &str) -> &str {
    let trimmed = number.trim_start_matches('0');
    if trimmed.is_empty() && !number.is_empty() { "0" } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_leading_zeros_are_decimal() {
        for (text, ip) in [
            ("172.30.0.041", Some("172.30.0.41")),
            ("000.010.0.00", Some("0.10.0.0")),
            ("::ffff:010.0.0.1", Some("10.0.0.1")),
            (" 10.0.0.1 ", Some("10.0.0.1")),
            ("2001:db8::0001", Some("2001:db8::1")),
            ("10.0.0", None),
            ("10.0.0.", None),
            ("10.0.0.256", None),
            ("fe80::1%eth0", None),
            ("", None),
        ] {
            assert_eq!(parse_ip(text), ip.map(|ip| ip.parse().unwrap()), "{text:?}");
        }
    }

    #[test]
    fn s10_ranges() {
        for (text, net) in [
            ("203.0.113.000/025", Some("203.0.113.0/25")),
            (" 10.1.2.3/8", Some("10.0.0.0/8")),
            ("fd00::1/64", Some("fd00::/64")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0", None),
        ] {
            assert_eq!(parse_cidr(text), net.map(|net| net.parse().unwrap()), "{text:?}");
        }
    }
}
