//! Flags and file into one validated configuration. A flag overrules the file's field.

use super::address::{bind, cluster_cidrs, invalid, ip, node_port_addresses, service_cidrs};
use super::args::RunArgs;
use super::error::{ConfigError, Setting};
use super::file::{self, File};
use super::hostname;
use super::kube_proxy::KubeProxyConfiguration;
use super::settings::{ClusterCidrs, Config, Loaded, NodePortAddresses, Note, SourceConfig};
use std::net::SocketAddr;
use std::path::PathBuf;

const HEALTHZ_PORT: u16 = 10256;
const METRICS_PORT: u16 = 10249;

impl RunArgs {
    /// The configuration that these flags, and the file that they name, mean.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let file = self.config.as_deref().map(file::read).transpose()?;
        self.resolve(file.as_ref(), &hostname::of_this_host())
    }

    /// As [`Self::load`], with the file's content and the host's name given.
    pub(super) fn resolve(&self, file: Option<&File>, host: &str) -> Result<Loaded, ConfigError> {
        let fields = file.map(|file| &file.fields);
        let config = Config {
            source: source(self, fields)?,
            node_name: node_name(self, fields, host)?,
            cgroup: self.cgroup.clone(),
            bpffs: self.bpffs.clone(),
            cluster_cidrs: detector(self, fields)?,
            service_cidrs: service_cidrs(Setting::Flag("--service-cidrs"), &self.service_cidrs)?,
            node_port_addresses: node_ports(self, fields)?,
            devices: self.devices.iter().map(|item| item.parse()).collect::<Result<_, _>>()?,
            xdp: self.xdp,
            healthz: healthz(self, fields)?,
            metrics: metrics(self, fields)?,
            log_format: self.log_format,
            verbosity: self.verbosity,
        };
        fields.map(check_ranges).transpose()?;
        Ok(Loaded { config, notes: file.map(|file| notes(self, file)).unwrap_or_default() })
    }
}

fn source(args: &RunArgs, file: Option<&KubeProxyConfiguration>) -> Result<SourceConfig, ConfigError> {
    if let Some(folder) = &args.manifests {
        return if folder.is_dir() {
            Ok(SourceConfig::Manifests(folder.clone()))
        } else {
            Err(ConfigError::NoFolder(folder.clone()))
        };
    }
    let from_file = file.map(|file| PathBuf::from(&file.client_connection.kubeconfig));
    let kubeconfig = args.kubeconfig.clone().or(from_file).filter(|path| !path.as_os_str().is_empty());
    Ok(kubeconfig.map_or(SourceConfig::InCluster, SourceConfig::Kubeconfig))
}

fn node_name(args: &RunArgs, file: Option<&KubeProxyConfiguration>, host: &str) -> Result<String, ConfigError> {
    hostname::node_name(args.hostname_override.as_deref().or(file.map(|file| file.hostname_override.as_str())), host)
}

fn detector(args: &RunArgs, file: Option<&KubeProxyConfiguration>) -> Result<ClusterCidrs, ConfigError> {
    if let Some(mode) = file.map(|file| file.detect_local_mode.as_str()) {
        match mode {
            "" | "ClusterCIDR" => {}
            "NodeCIDR" | "BridgeInterface" | "InterfaceNamePrefix" => return Ok(ClusterCidrs::default()),
            _ => {
                let instead = "ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix or nothing";
                return Err(invalid(Setting::Field("detectLocalMode"), mode, instead));
            }
        }
    }
    let (setting, text) = match (&args.cluster_cidr, file) {
        (Some(flag), _) => (Setting::Flag("cluster-cidr"), flag.as_str()),
        (None, Some(file)) => (Setting::Field("clusterCIDR"), file.cluster_cidr.as_str()),
        (None, None) => return Ok(ClusterCidrs::default()),
    };
    if text.trim().is_empty() { Ok(ClusterCidrs::default()) } else { cluster_cidrs(setting, text) }
}

fn node_ports(args: &RunArgs, file: Option<&KubeProxyConfiguration>) -> Result<NodePortAddresses, ConfigError> {
    if let Some(mode) = file.map(|file| file.mode.as_str())
        && !["", "iptables", "ipvs", "nftables"].contains(&mode)
    {
        return Err(invalid(Setting::Field("mode"), mode, "iptables, ipvs, nftables or nothing"));
    }
    match (&args.nodeport_addresses, file) {
        (Some(flag), _) => node_port_addresses(Setting::Flag("nodeport-addresses"), flag),
        (None, Some(file)) if !file.node_port_addresses.is_empty() => {
            node_port_addresses(Setting::Field("nodePortAddresses"), &file.node_port_addresses)
        }
        (None, Some(file)) if file.mode != "nftables" => Ok(NodePortAddresses::all()),
        (None, _) => Ok(NodePortAddresses::Primary),
    }
}

fn healthz(args: &RunArgs, file: Option<&KubeProxyConfiguration>) -> Result<SocketAddr, ConfigError> {
    match (&args.healthz_bind_address, file) {
        (Some(flag), _) => bind(Setting::Flag("healthz-bind-address"), flag, HEALTHZ_PORT),
        (None, Some(file)) if !file.healthz_bind_address.is_empty() => {
            bind(Setting::Field("healthzBindAddress"), &file.healthz_bind_address, HEALTHZ_PORT)
        }
        (None, _) => {
            let any = if binds_v6(file)? { "::" } else { "0.0.0.0" };
            bind(Setting::Flag("healthz-bind-address"), any, HEALTHZ_PORT)
        }
    }
}

fn metrics(args: &RunArgs, file: Option<&KubeProxyConfiguration>) -> Result<SocketAddr, ConfigError> {
    match (&args.metrics_bind_address, file) {
        (Some(flag), _) => bind(Setting::Flag("metrics-bind-address"), flag, METRICS_PORT),
        (None, Some(file)) if !file.metrics_bind_address.is_empty() => {
            bind(Setting::Field("metricsBindAddress"), &file.metrics_bind_address, METRICS_PORT)
        }
        (None, _) => {
            let loopback = if binds_v6(file)? { "::1" } else { "127.0.0.1" };
            bind(Setting::Flag("metrics-bind-address"), loopback, METRICS_PORT)
        }
    }
}

/// `bindAddress` decides the family of the addresses that are not given.
fn binds_v6(file: Option<&KubeProxyConfiguration>) -> Result<bool, ConfigError> {
    match file.map(|file| file.bind_address.as_str()) {
        None | Some("") => Ok(false),
        Some(text) => Ok(ip(Setting::Field("bindAddress"), text)?.is_ipv6()),
    }
}

/// What kube-proxy refuses, although it means nothing here.
fn check_ranges(file: &KubeProxyConfiguration) -> Result<(), ConfigError> {
    let numbers = [
        ("iptables.masqueradeBit", file.iptables.masquerade_bit, 0..=31, "a number from 0 to 31"),
        ("nftables.masqueradeBit", file.nftables.masquerade_bit, 0..=31, "a number from 0 to 31"),
        ("oomScoreAdj", file.oom_score_adj, -1000..=1000, "a number from -1000 to 1000"),
        ("conntrack.maxPerCore", file.conntrack.max_per_core, 0..=i32::MAX, "a number from 0 up"),
        ("conntrack.min", file.conntrack.min, 0..=i32::MAX, "a number from 0 up"),
        ("clientConnection.burst", Some(file.client_connection.burst), 0..=i32::MAX, "a number from 0 up"),
    ];
    for (field, number, range, instead) in numbers {
        if let Some(number) = number.filter(|number| !range.contains(number)) {
            return Err(invalid(Setting::Field(field), &number.to_string(), instead));
        }
    }
    let durations = [
        ("iptables.syncPeriod", file.iptables.sync_period),
        ("iptables.minSyncPeriod", file.iptables.min_sync_period),
        ("ipvs.syncPeriod", file.ipvs.sync_period),
        ("ipvs.minSyncPeriod", file.ipvs.min_sync_period),
        ("nftables.syncPeriod", file.nftables.sync_period),
        ("nftables.minSyncPeriod", file.nftables.min_sync_period),
        ("configSyncPeriod", file.config_sync_period),
        ("conntrack.udpTimeout", file.conntrack.udp_timeout),
        ("conntrack.udpStreamTimeout", file.conntrack.udp_stream_timeout),
    ];
    match durations.into_iter().find(|(_, duration)| duration.is_negative()) {
        Some((field, _)) => Err(invalid(Setting::Field(field), "a negative duration", "0s or more")),
        None => Ok(()),
    }
}

fn notes(args: &RunArgs, file: &File) -> Vec<Note> {
    let mut fields = file.without_effect.clone();
    if !["", "ClusterCIDR"].contains(&file.fields.detect_local_mode.as_str()) {
        fields.push(format!("detectLocalMode {} (there is no local-traffic detector)", file.fields.detect_local_mode));
    }
    if crate::state::parse_ip(&file.fields.bind_address).is_some_and(|ip| !ip.is_unspecified()) {
        fields.push(format!("bindAddress {} (its family alone counts)", file.fields.bind_address));
    }
    if args.manifests.is_some() && !file.fields.client_connection.kubeconfig.is_empty() {
        fields.push("clientConnection.kubeconfig (overruled by --manifests)".into());
    }
    let warning = Some(Note::WithoutEffect(fields.clone())).filter(|_| !fields.is_empty());
    [warning, Some(Note::MasqueradeNeeded)].into_iter().flatten().collect()
}
