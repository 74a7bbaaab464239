//! The registry against docs/metrics.md, and what observations do to it.

use super::*;
use crate::maps::{MapName, TableUse};
use crate::state::WithoutLocal;
use jiff::Timestamp;
use proxy_common::abi::{Counter, Family, Hook, Reason};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

struct Fixed(MapReading);

impl ReadMaps for Fixed {
    fn read(&self) -> MapReading {
        self.0.clone()
    }
}

/// A registry in which every metric has a value.
fn full() -> Metrics {
    let counter = Counter { packets: 3, bytes: 180 };
    let counted = |hook, reason| Counted { hook, reason, counter };
    let counters = vec![counted(Hook::TcIngress, Reason::Opened), counted(Hook::Socket, Reason::NoEndpoint)];
    let tables = vec![TableUse { map: MapName::Flows, used: 2, capacity: 64 }];
    let metrics = Metrics::new(Arc::new(Fixed(MapReading { counters, tables }))).unwrap();
    let now = Timestamp::from_second(1_000).unwrap();
    metrics.observe_queued(1, 2, now);
    metrics.observe_services(5, &[("port", 2)]);
    metrics.observe_expired("FLOWS", 4);
    metrics.observe_source(true, false);
    metrics.observe_degraded(&["ip_forward"]);
    metrics
}

/// name → (type, labels), as documented.
fn documented() -> BTreeMap<String, (String, String)> {
    let text = include_str!("../../../../docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `kubeproxy_") || line.starts_with("| `sluice_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        (cells[1].clone(), (cells[2].clone(), cells[3].clone()))
    })
    .collect()
}

/// name → (type, labels), as scraped.
fn scraped(text: &str) -> BTreeMap<String, (String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .map(|(name, kind)| {
            let sample = text.lines().find(|line| {
                line.strip_prefix(name).is_some_and(|rest| ["{", " ", "_bucket{"].iter().any(|next| rest.starts_with(next)))
            });
            let labels = sample.and_then(|sample| sample.split_once('{')?.1.split_once('}')).map_or("", |(labels, _)| labels);
            let names: Vec<_> = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name).collect();
            let own: Vec<_> = names.into_iter().filter(|name| *name != "le").collect();
            (name.to_owned(), (kind.to_owned(), own.join(", ")))
        })
        .collect()
}

#[test]
fn the_list_in_the_documentation_is_the_registry() {
    assert_eq!(documented(), scraped(&full().encode().unwrap()));
}

#[test]
fn counters_of_sockets_and_of_packets_stand_apart() {
    let text = full().encode().unwrap();
    for line in [
        r#"sluice_packets_total{hook="tc_ingress",reason="opened"} 3"#,
        r#"sluice_bytes_total{hook="tc_ingress",reason="opened"} 180"#,
        r#"sluice_socket_calls_total{reason="no_endpoint"} 3"#,
        r#"sluice_map_entries{map="FLOWS"} 2"#,
        r#"sluice_map_capacity{map="FLOWS"} 64"#,
        r#"sluice_flows{map="FLOWS"} 2"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains(r#"sluice_packets_total{hook="socket""#));
}

#[test]
fn what_was_queued_is_pending_until_it_is_applied() {
    let (metrics, now) = (full(), Timestamp::from_second(2_000).unwrap());
    assert!(metrics.encode().unwrap().contains("kubeproxy_sync_proxy_rules_endpoint_changes_pending 2\n"));
    let durations = [Duration::from_micros(400), Duration::from_millis(3)];
    metrics.observe_applied(
        &[Applied {
            family: Family::V6,
            duration: Duration::from_millis(2),
            flips: 7,
            since_arrival: &durations,
            since_trigger: &durations[..1],
        }],
        now,
    );
    let text = metrics.encode().unwrap();
    for line in [
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 2",
        "kubeproxy_sync_proxy_rules_service_changes_total 1",
        r#"kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv6"} 1"#,
        r#"kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 0"#,
        r#"kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv6"} 2000"#,
        r#"kubeproxy_network_programming_duration_seconds_count{ip_family="IPv6"} 1"#,
        r#"sluice_programming_duration_seconds_count{ip_family="IPv6"} 2"#,
        "sluice_flips_total 7",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn ports_without_local_endpoints_stand_by_family_and_policy() {
    let metrics = full();
    metrics.observe_without_local(Family::V6, WithoutLocal { internal: 2, external: 1 });
    let text = metrics.encode().unwrap();
    for (family, policy, count) in [("IPv6", "internal", 2), ("IPv6", "external", 1), ("IPv4", "internal", 0)] {
        let labels = format!("{{ip_family=\"{family}\",traffic_policy=\"{policy}\"}}");
        let line = format!("kubeproxy_sync_proxy_rules_no_local_endpoints_total{labels} {count}\n");
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_condition_that_is_over_is_gone() {
    let metrics = full();
    metrics.observe_degraded(&["table_full"]);
    let text = metrics.encode().unwrap();
    assert!(text.contains("sluice_degraded{condition=\"table_full\"} 1"));
    assert!(!text.contains("ip_forward"));
}
