//! What kube-proxy 1.36 refuses, refused here too: fields after defaults. What `resolve` turns into values it checks itself.
//!
//! Invariant: a file that kube-proxy accepts without a warning is accepted.

use super::address::{cidr, invalid};
use super::error::{ConfigError, Setting};
use super::kube_proxy::{KubeProxyConfiguration, Logging};
use super::quantity::GoDuration;
use std::ops::RangeInclusive;

type Checked = Result<(), ConfigError>;

/// Refuses what kube-proxy refuses.
pub fn check(file: &KubeProxyConfiguration) -> Checked {
    one_of("mode", &file.mode, &["", "iptables", "ipvs", "nftables"], "iptables, ipvs, nftables or nothing")?;
    numbers(file)?;
    periods(file)?;
    conntrack(file)?;
    if file.mode == "ipvs" {
        ipvs(file)?;
    }
    logging(&file.logging)?;
    hidden_metrics(&file.show_hidden_metrics_for_version)
}

fn numbers(file: &KubeProxyConfiguration) -> Checked {
    const NATURAL: RangeInclusive<i32> = 0..=i32::MAX;
    const UP: &str = "a number from 0 up";
    const BIT: &str = "a number from 0 to 31";
    number("iptables.masqueradeBit", file.iptables.masquerade_bit, 0..=31, BIT)?;
    if file.mode == "nftables" {
        number("nftables.masqueradeBit", file.nftables.masquerade_bit, 0..=31, BIT)?;
    }
    number("oomScoreAdj", file.oom_score_adj, -1000..=1000, "a number from -1000 to 1000")?;
    number("conntrack.maxPerCore", file.conntrack.max_per_core, NATURAL, UP)?;
    number("conntrack.min", file.conntrack.min, NATURAL, UP)?;
    number("clientConnection.burst", Some(file.client_connection.burst), NATURAL, UP)
}

/// The periods of the mode in force alone.
fn periods(file: &KubeProxyConfiguration) -> Checked {
    positive("configSyncPeriod", file.config_sync_period)?;
    let (names, period, least) = match file.mode.as_str() {
        "ipvs" => (["ipvs.syncPeriod", "ipvs.minSyncPeriod"], file.ipvs.sync_period, file.ipvs.min_sync_period),
        "nftables" => {
            (["nftables.syncPeriod", "nftables.minSyncPeriod"], file.nftables.sync_period, file.nftables.min_sync_period)
        }
        _ => (["iptables.syncPeriod", "iptables.minSyncPeriod"], file.iptables.sync_period, file.iptables.min_sync_period),
    };
    positive(names[0], period)?;
    natural(names[1], least)?;
    if least > period {
        return Err(refused(names[0], &period.to_string(), "at least minSyncPeriod, or a smaller minSyncPeriod"));
    }
    Ok(())
}

fn conntrack(file: &KubeProxyConfiguration) -> Checked {
    natural("conntrack.tcpEstablishedTimeout", file.conntrack.tcp_established_timeout.unwrap_or_default())?;
    natural("conntrack.tcpCloseWaitTimeout", file.conntrack.tcp_close_wait_timeout.unwrap_or_default())?;
    natural("conntrack.udpTimeout", file.conntrack.udp_timeout)?;
    natural("conntrack.udpStreamTimeout", file.conntrack.udp_stream_timeout)
}

fn ipvs(file: &KubeProxyConfiguration) -> Checked {
    natural("ipvs.tcpTimeout", file.ipvs.tcp_timeout)?;
    natural("ipvs.tcpFinTimeout", file.ipvs.tcp_fin_timeout)?;
    natural("ipvs.udpTimeout", file.ipvs.udp_timeout)?;
    file.ipvs.exclude_cidrs.iter().try_for_each(|item| cidr(&Setting::Field("ipvs.excludeCIDRs"), item).map(drop))
}

fn logging(logging: &Logging) -> Checked {
    const LARGEST: u32 = i32::MAX as u32;
    const LARGE: &str = "a number up to 2147483647";
    one_of("logging.format", &logging.format, &["text", "json"], "text or json")?;
    positive("logging.flushFrequency", logging.flush_frequency.0)?;
    if logging.verbosity > LARGEST {
        return Err(refused("logging.verbosity", &logging.verbosity.to_string(), LARGE));
    }
    for item in &logging.vmodule {
        if logging.format != "text" {
            return Err(refused("logging.vmodule", &item.file_pattern, "it with logging.format text alone"));
        }
        if item.file_pattern.is_empty() || item.file_pattern.contains(['=', ',']) {
            return Err(refused("logging.vmodule", &item.file_pattern, "a file pattern without = and comma"));
        }
        if item.verbosity > LARGEST {
            return Err(refused("logging.vmodule", &item.verbosity.to_string(), LARGE));
        }
    }
    Ok(())
}

fn hidden_metrics(version: &str) -> Checked {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if version.is_empty() || version.split_once('.').is_some_and(|(major, minor)| number(major) && number(minor)) {
        return Ok(());
    }
    Err(refused("showHiddenMetricsForVersion", version, "the version before, such as 1.35"))
}

fn one_of(field: &'static str, text: &str, known: &[&str], instead: &'static str) -> Checked {
    if known.contains(&text) { Ok(()) } else { Err(refused(field, text, instead)) }
}

fn number(field: &'static str, number: Option<i32>, range: RangeInclusive<i32>, instead: &'static str) -> Checked {
    match number.filter(|number| !range.contains(number)) {
        Some(number) => Err(refused(field, &number.to_string(), instead)),
        None => Ok(()),
    }
}

fn positive(field: &'static str, duration: GoDuration) -> Checked {
    if duration > GoDuration::ZERO {
        Ok(())
    } else {
        Err(refused(field, &duration.to_string(), "a duration above 0s, such as 30s"))
    }
}

fn natural(field: &'static str, duration: GoDuration) -> Checked {
    if duration >= GoDuration::ZERO { Ok(()) } else { Err(refused(field, &duration.to_string(), "a duration from 0s up")) }
}

fn refused(field: &'static str, value: &str, instead: &'static str) -> ConfigError {
    invalid(Setting::Field(field), value, instead)
}
