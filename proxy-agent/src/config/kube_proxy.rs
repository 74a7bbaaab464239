//! KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) with every field of Kubernetes 1.36.
//!
//! Invariant: an unknown field is an error. Fields that earlier versions had and old ConfigMaps still have are known.

use super::quantity::{GoDuration, Quantity, TimeOrDuration};
use crate::watch::objects::null_as_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Declares a struct all of whose fields may be absent or null.
macro_rules! fields {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident $json:literal: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Deserialize, Serialize, Clone, PartialEq, Debug, Default)]
        #[serde(deny_unknown_fields, default)]
        $vis struct $name {
            $($(#[$field_meta])* #[serde(rename = $json, deserialize_with = "null_as_default")] $vis $field: $type,)*
        }
    };
}

fields! {
    /// The whole document.
    pub struct KubeProxyConfiguration {
        api_version "apiVersion": String,
        kind "kind": String,
        feature_gates "featureGates": BTreeMap<String, bool>,
        client_connection "clientConnection": ClientConnection,
        logging "logging": Logging,
        hostname_override "hostnameOverride": String,
        bind_address "bindAddress": String,
        healthz_bind_address "healthzBindAddress": String,
        metrics_bind_address "metricsBindAddress": String,
        bind_address_hard_fail "bindAddressHardFail": bool,
        enable_profiling "enableProfiling": bool,
        show_hidden_metrics_for_version "showHiddenMetricsForVersion": String,
        mode "mode": String,
        iptables "iptables": IpTables,
        ipvs "ipvs": Ipvs,
        nftables "nftables": NfTables,
        winkernel "winkernel": Winkernel,
        detect_local_mode "detectLocalMode": String,
        detect_local "detectLocal": DetectLocal,
        cluster_cidr "clusterCIDR": String,
        node_port_addresses "nodePortAddresses": Vec<String>,
        oom_score_adj "oomScoreAdj": Option<i32>,
        conntrack "conntrack": Conntrack,
        config_sync_period "configSyncPeriod": GoDuration,
        port_range "portRange": String,
        windows_run_as_service "windowsRunAsService": bool,
        #[serde(skip_serializing)]
        udp_idle_timeout "udpIdleTimeout": GoDuration,
        #[serde(skip_serializing)]
        resource_container "resourceContainer": String,
    }
}

fields! {
    /// `clientConnection`.
    pub struct ClientConnection {
        kubeconfig "kubeconfig": String,
        accept_content_types "acceptContentTypes": String,
        content_type "contentType": String,
        qps "qps": f32,
        burst "burst": i32,
    }
}

fields! {
    /// `logging`.
    pub struct Logging {
        format "format": String,
        flush_frequency "flushFrequency": TimeOrDuration,
        verbosity "verbosity": u32,
        vmodule "vmodule": Vec<VModule>,
        options "options": LoggingOptions,
    }
}

fields! {
    /// An item of `logging.vmodule`.
    pub struct VModule {
        file_pattern "filePattern": String,
        verbosity "verbosity": u32,
    }
}

fields! {
    /// `logging.options`.
    pub struct LoggingOptions {
        text "text": OutputRouting,
        json "json": OutputRouting,
    }
}

fields! {
    /// `logging.options.text` and `.json`.
    pub struct OutputRouting {
        split_stream "splitStream": bool,
        info_buffer_size "infoBufferSize": Quantity,
    }
}

fields! {
    /// `iptables`.
    pub struct IpTables {
        masquerade_bit "masqueradeBit": Option<i32>,
        masquerade_all "masqueradeAll": bool,
        localhost_node_ports "localhostNodePorts": Option<bool>,
        sync_period "syncPeriod": GoDuration,
        min_sync_period "minSyncPeriod": GoDuration,
    }
}

fields! {
    /// `ipvs`.
    pub struct Ipvs {
        sync_period "syncPeriod": GoDuration,
        min_sync_period "minSyncPeriod": GoDuration,
        scheduler "scheduler": String,
        exclude_cidrs "excludeCIDRs": Vec<String>,
        strict_arp "strictARP": bool,
        tcp_timeout "tcpTimeout": GoDuration,
        tcp_fin_timeout "tcpFinTimeout": GoDuration,
        udp_timeout "udpTimeout": GoDuration,
    }
}

fields! {
    /// `nftables`.
    pub struct NfTables {
        masquerade_bit "masqueradeBit": Option<i32>,
        masquerade_all "masqueradeAll": bool,
        sync_period "syncPeriod": GoDuration,
        min_sync_period "minSyncPeriod": GoDuration,
    }
}

fields! {
    /// `winkernel`.
    pub struct Winkernel {
        network_name "networkName": String,
        source_vip "sourceVip": String,
        enable_dsr "enableDSR": bool,
        root_hns_endpoint_name "rootHnsEndpointName": String,
        forward_health_check_vip "forwardHealthCheckVip": bool,
    }
}

fields! {
    /// `detectLocal`.
    pub struct DetectLocal {
        bridge_interface "bridgeInterface": String,
        interface_name_prefix "interfaceNamePrefix": String,
    }
}

fields! {
    /// `conntrack`.
    pub struct Conntrack {
        #[serde(skip_serializing)]
        max "max": Option<i32>,
        max_per_core "maxPerCore": Option<i32>,
        min "min": Option<i32>,
        tcp_established_timeout "tcpEstablishedTimeout": Option<GoDuration>,
        tcp_close_wait_timeout "tcpCloseWaitTimeout": Option<GoDuration>,
        tcp_be_liberal "tcpBeLiberal": bool,
        udp_timeout "udpTimeout": GoDuration,
        udp_stream_timeout "udpStreamTimeout": GoDuration,
    }
}
