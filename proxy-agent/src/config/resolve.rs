//! Flags and file into one validated configuration.

use super::address::{bind, cluster_cidrs, invalid, ip, master, node_port_addresses, ports, service_cidrs};
use super::args::{LogFormat, MasqueradeExternal, RunArgs};
use super::defaults;
use super::effective::Effective;
use super::error::ConfigError;
use super::file::{self, File};
use super::hostname;
use super::meaning;
use super::named;
use super::overrule::Fields;
use super::settings::{ClusterCidrs, Config, DEFAULT_BPFFS, Detector, Loaded, NodePortAddresses, Note, SourceConfig};
use super::validate;
use std::path::{Path, PathBuf};

impl RunArgs {
    /// The configuration that these flags, and the file that they name, mean.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let file = self.config.as_deref().map(file::read).transpose()?;
        self.resolve(file.as_ref(), &hostname::of_this_host())
    }

    /// As [`Self::load`], with the file's text and the host's name given; `path` is for messages.
    pub fn load_text(&self, path: &Path, text: &str, host: &str) -> Result<Loaded, ConfigError> {
        self.resolve(Some(&file::parse(path, text)?), host)
    }

    /// As [`Self::load`], with the file's content and the host's name given.
    pub(super) fn resolve(&self, file: Option<&File>, host: &str) -> Result<Loaded, ConfigError> {
        let given = Fields::new(self, file);
        let mut fields = given.clone();
        defaults::fill(&mut fields);
        validate::check(&fields.kube_proxy)?;
        own_defaults(&mut fields);
        let config = config(self, &fields, host)?;
        let notes = notes(&given, &fields);
        Ok(Loaded { effective: Effective::new(&given, fields, &config), config, notes })
    }
}

/// After kube-proxy's defaults, since some of ours depend on them.
fn own_defaults(fields: &mut Fields) {
    let always = if fields.has_kube_proxy { MasqueradeExternal::Always } else { MasqueradeExternal::Needed };
    let json = fields.kube_proxy.logging.format == "json";
    let own = &mut fields.sluice;
    own.bpffs.get_or_insert_with(|| DEFAULT_BPFFS.into());
    own.devices.get_or_insert_default();
    own.service_cidrs.get_or_insert_default();
    own.masquerade_ports.get_or_insert_default();
    own.flow_timeouts.get_or_insert_default();
    own.table_entries.get_or_insert_default();
    own.xdp.get_or_insert_default();
    own.masquerade_external.get_or_insert(always);
    own.algorithm.get_or_insert_default();
    own.log_format.get_or_insert(if json { LogFormat::Json } else { LogFormat::Text });
}

fn config(args: &RunArgs, fields: &Fields, host: &str) -> Result<Config, ConfigError> {
    let (file, own) = (&fields.kube_proxy, &fields.sluice);
    let devices = own.devices.iter().flatten().map(|item| item.parse());
    let devices: Result<_, _> = devices.collect();
    let bound = ip(fields.setting("bindAddress"), &file.bind_address)?;
    Ok(Config {
        source: source(args, fields)?,
        node_name: hostname::node_name(Some(&file.hostname_override), host)?,
        cgroup: own.cgroup.clone(),
        bpffs: own.bpffs.clone().unwrap_or_default(),
        detector: detector(fields)?,
        service_cidrs: service_cidrs(fields.own("serviceCidrs"), own.service_cidrs.as_deref().unwrap_or_default())?,
        masquerade_all: fields.masquerade_all().1,
        masquerade_external: own.masquerade_external.unwrap_or_default(),
        node_ip: Some(bound).filter(|ip| !ip.is_unspecified()),
        node_port_addresses: node_ports(fields)?,
        devices: devices.map_err(|error| ConfigError::Device { setting: fields.own("devices"), error })?,
        xdp: own.xdp.unwrap_or_default(),
        algorithm: own.algorithm.unwrap_or_default(),
        masquerade_ports: ports(&fields.own("masqueradePorts"), own.masquerade_ports.as_deref().unwrap_or_default())?,
        flow_timeouts: named::timeouts(&fields.own("flowTimeouts"), own.flow_timeouts.as_deref().unwrap_or_default())?,
        capacity: named::capacity(&fields.own("tableEntries"), own.table_entries.as_deref().unwrap_or_default())?,
        health_timeout: 2 * fields.sync_period().1.to_duration(),
        healthz: bind(fields.setting("healthzBindAddress"), &file.healthz_bind_address)?,
        metrics: bind(fields.setting("metricsBindAddress"), &file.metrics_bind_address)?,
        bind_hard_fail: file.bind_address_hard_fail,
        log_format: own.log_format.unwrap_or_default(),
        verbosity: args.verbosity,
    })
}

fn source(args: &RunArgs, fields: &Fields) -> Result<SourceConfig, ConfigError> {
    if let Some(folder) = &fields.sluice.manifests {
        return if folder.is_dir() {
            Ok(SourceConfig::Manifests(folder.clone()))
        } else {
            Err(ConfigError::NoFolder { setting: fields.own("manifests"), path: folder.clone() })
        };
    }
    let kubeconfig = Some(PathBuf::from(&fields.kube_proxy.client_connection.kubeconfig));
    let kubeconfig = kubeconfig.filter(|path| !path.as_os_str().is_empty());
    Ok(match (&args.master, kubeconfig) {
        (Some(url), kubeconfig) => SourceConfig::Master { url: master(url)?, kubeconfig },
        (None, Some(path)) => SourceConfig::Kubeconfig(path),
        (None, None) => SourceConfig::InCluster,
    })
}

fn detector(fields: &Fields) -> Result<Detector, ConfigError> {
    let (file, local) = (&fields.kube_proxy, &fields.kube_proxy.detect_local);
    match file.detect_local_mode.as_str() {
        "ClusterCIDR" if file.cluster_cidr.trim().is_empty() => Ok(Detector::None),
        "ClusterCIDR" => Ok(Detector::Cidrs(cluster_cidrs(fields.setting("clusterCIDR"), &file.cluster_cidr)?)),
        "NodeCIDR" => Ok(Detector::NodeCidrs),
        "BridgeInterface" => device_name(fields, "detectLocal.bridgeInterface", &local.bridge_interface).map(Detector::Bridge),
        "InterfaceNamePrefix" => {
            device_name(fields, "detectLocal.interfaceNamePrefix", &local.interface_name_prefix).map(Detector::NamePrefix)
        }
        other => {
            let instead = "ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix or nothing";
            Err(invalid(fields.setting("detectLocalMode"), other, instead))
        }
    }
}

fn device_name(fields: &Fields, field: &'static str, name: &str) -> Result<String, ConfigError> {
    if name.is_empty() {
        return Err(invalid(fields.setting(field), name, "a device's name or its beginning, as detectLocalMode asks for it"));
    }
    Ok(name.to_owned())
}

fn node_ports(fields: &Fields) -> Result<NodePortAddresses, ConfigError> {
    match fields.kube_proxy.node_port_addresses.as_slice() {
        [] => Ok(NodePortAddresses::all()),
        items => node_port_addresses(fields.setting("nodePortAddresses"), items),
    }
}

fn notes(given: &Fields, effective: &Fields) -> Vec<Note> {
    let without = meaning::without(effective).into_iter().map(|(field, why)| Note::WithoutMeaning { field, why });
    let node_ports = given.kube_proxy.node_port_addresses.is_empty() && effective.kube_proxy.node_port_addresses.is_empty();
    let masquerade = given.has_kube_proxy && given.sluice.masquerade_external.is_none();
    let changed = Some(Note::Defaults { node_ports, masquerade }).filter(|_| node_ports || masquerade);
    without.chain(changed).collect()
}

impl Detector {
    /// Whether anything tells local pods.
    pub const fn is_any(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The prefixes of local pods; `node` are those of the Node object.
    pub fn cidrs(&self, node: ClusterCidrs) -> ClusterCidrs {
        match self {
            Self::Cidrs(cidrs) => *cidrs,
            Self::NodeCidrs => node,
            Self::None | Self::Bridge(_) | Self::NamePrefix(_) => ClusterCidrs::default(),
        }
    }
}
