//! A Service's source ranges as facts: who may dial its load balancer's addresses (S24).

use super::ip::parse_cidr;
use super::rejection::RejectReason;
use ipnet::IpNet;
use proxy_common::abi::Family;

/// The ranges that a Service gives, of both families.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourceRanges {
    /// Sorted, each once.
    nets: Vec<IpNet>,
    /// Whether it gives something that makes no sense: nobody knows what was meant, of which family.
    nonsense: bool,
}

impl SourceRanges {
    /// What the texts say (S10); each that makes no sense is left out by itself.
    pub fn new(texts: &[String], rejected: &mut Vec<RejectReason>) -> Self {
        let mut nets = Vec::with_capacity(texts.len());
        let mut nonsense = false;
        for text in texts {
            match parse_cidr(text) {
                Some(net) => nets.push(net),
                None => {
                    nonsense = true;
                    rejected.push(RejectReason::SourceRange { text: text.clone() });
                }
            }
        }
        nets.sort_unstable();
        nets.dedup();
        Self { nets, nonsense }
    }

    /// The ranges of a family (S3), sorted; `None` = everybody may dial, as where one holds every address. So it is where all ranges
    /// are of the other family, as with kube-proxy; where one makes no sense and none is left, nobody may.
    pub fn of(&self, family: Family) -> Option<Vec<IpNet>> {
        let nets: Vec<IpNet> = self.nets.iter().copied().filter(|net| net.addr().is_ipv4() == (family == Family::V4)).collect();
        let all = nets.iter().any(|net| net.prefix_len() == 0);
        (!all && (self.nonsense || !nets.is_empty())).then_some(nets)
    }

    /// Whether there are any, of whatever family.
    pub const fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> (Option<Vec<String>>, Option<Vec<String>>, usize) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let mut rejected = Vec::new();
        let ranges = SourceRanges::new(&texts, &mut rejected);
        let written = |family| ranges.of(family).map(|nets: Vec<IpNet>| nets.iter().map(IpNet::to_string).collect());
        (written(Family::V4), written(Family::V6), rejected.len())
    }

    fn nets(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn s3_s10_ranges_are_trimmed_and_filtered_by_family() {
        assert_eq!(of(&[]), (None, None, 0));
        let mixed = [" 203.0.113.000/025\t", "10.1.2.3/8", "fd00::1/64", "10.0.0.0/8"];
        assert_eq!(of(&mixed), (nets(&["10.0.0.0/8", "203.0.113.0/25"]), nets(&["fd00::/64"]), 0));
        assert_eq!(of(&["0.0.0.0/0", "10.0.0.0/8", "fd00::/64"]), (None, nets(&["fd00::/64"]), 0), "every address of IPv4");
        assert_eq!(of(&["fd00::/64"]), (None, nets(&["fd00::/64"]), 0), "as with kube-proxy");
    }

    #[test]
    fn s24_nonsense_never_opens_a_service() {
        for text in ["10.0.0.0", "10.0.0.0/33", "anywhere", "", "10.0.0.0/-1", "::ffff:10.0.0.0/104"] {
            assert_eq!(of(&[text]), (nets(&[]), nets(&[]), 1), "{text:?}");
            assert_eq!(of(&[text, "10.0.0.0/8"]), (nets(&["10.0.0.0/8"]), nets(&[]), 1), "{text:?}");
        }
    }
}
