//! Kubernetes objects as YAML files in a folder that agents watch.
//!
//! Invariant: a file appears, changes and disappears in one step (rename), so an agent never reads half of one.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::net::{Family, Proto};

/// The folder.
#[derive(Clone, Debug)]
pub struct Manifests {
    folder: PathBuf,
    drafts: PathBuf,
}

impl Manifests {
    /// Makes the folder `manifests` below `scratch`.
    pub fn create(scratch: &Path) -> Result<Self> {
        let manifests = Self { folder: scratch.join("manifests"), drafts: scratch.join("drafts") };
        for folder in [&manifests.folder, &manifests.drafts] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        Ok(manifests)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes or replaces the file `name`.
    pub fn put(&self, name: &str, text: &str) -> Result<()> {
        let draft = self.drafts.join(name);
        fs::write(&draft, text)?;
        fs::rename(&draft, self.folder.join(name)).with_context(|| format!("put {name} into {}", self.folder.display()))
    }

    /// Writes a Service to a file of its name.
    pub fn put_service(&self, service: &Service) -> Result<()> {
        self.put(&format!("{}.yaml", service.name), &service.yaml())
    }

    /// Writes a slice to a file of its name.
    pub fn put_slice(&self, slice: &Slice) -> Result<()> {
        self.put(&format!("{}.yaml", slice.name()), &slice.yaml())
    }

    /// Writes a file to be put in place by [`Self::put_again`], down to the disk.
    pub fn prepare(&self, draft: &str, text: &str) -> Result<PathBuf> {
        let path = self.drafts.join(draft);
        fs::write(&path, text)?;
        File::open(&path)?.sync_all()?;
        Ok(path)
    }

    /// As [`Self::put`], of what was written before: a second name of it takes the place of the file `name`, and no disk has to keep up.
    pub fn put_again(&self, prepared: &Path, name: &str) -> Result<()> {
        let draft = self.drafts.join(name);
        fs::hard_link(prepared, &draft)?;
        fs::rename(&draft, self.folder.join(name)).with_context(|| format!("put {name} into {}", self.folder.display()))
    }

    /// Removes the file `name`.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.folder.join(name)).with_context(|| format!("remove {name} from {}", self.folder.display()))
    }
}

/// A port of a Service.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// The name that joins it to the ports of slices.
    pub name: String,
    /// TCP or UDP.
    pub proto: Proto,
    /// The port on the ClusterIP.
    pub port: u16,
    /// The port of the endpoints.
    pub target: u16,
    /// The NodePort; 0 = none.
    pub node_port: u16,
}

/// A Service in namespace `default`.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its ClusterIPs.
    pub cluster_ips: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// When it was created, as in `metadata.creationTimestamp`; empty = not said.
    pub created: String,
    /// Lines of `metadata.annotations`, indented by four.
    pub annotations: String,
    /// Further lines of `spec`, indented by two.
    pub extra: String,
    /// Lines of `status`.
    pub status: String,
}

impl Service {
    /// A Service without ports.
    pub fn new(name: &str, cluster_ips: &[IpAddr]) -> Self {
        Self {
            name: name.to_owned(),
            cluster_ips: cluster_ips.to_vec(),
            ports: Vec::new(),
            created: String::new(),
            annotations: String::new(),
            extra: String::new(),
            status: String::new(),
        }
    }

    /// With one port more; `node_port` 0 = none. Its name is made of protocol and port.
    pub fn port(mut self, proto: Proto, port: u16, target: u16, node_port: u16) -> Self {
        let name = format!("{}-{port}", proto.kubernetes().to_lowercase());
        self.ports.push(ServicePort { name, proto, port, target, node_port });
        self
    }

    /// The manifest.
    pub fn yaml(&self) -> String {
        let kind = if self.ports.iter().any(|port| port.node_port > 0) { "NodePort" } else { "ClusterIP" };
        let ips: Vec<String> = self.cluster_ips.iter().map(|ip| format!("\"{ip}\"")).collect();
        let families: Vec<&str> = self.cluster_ips.iter().map(|&ip| Family::of(ip).kubernetes()).collect();
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: default\n{created}{annotations}spec:\n  type: {kind}\n  \
             clusterIP: {first}\n  clusterIPs: [{ips}]\n  ipFamilies: [{families}]\n  \
             ipFamilyPolicy: {policy}\n  selector:\n    app: {name}\n{extra}  ports:\n",
            name = self.name,
            created =
                if self.created.is_empty() { String::new() } else { format!("  creationTimestamp: \"{}\"\n", self.created) },
            annotations =
                if self.annotations.is_empty() { String::new() } else { format!("  annotations:\n{}", self.annotations) },
            first = ips.first().map_or("None", String::as_str),
            ips = ips.join(", "),
            families = families.join(", "),
            policy = if families.len() > 1 { "RequireDualStack" } else { "SingleStack" },
            extra = self.extra,
        );
        for port in &self.ports {
            let _ = writeln!(
                text,
                "  - name: {}\n    protocol: {}\n    port: {}\n    targetPort: {}",
                port.name, port.proto, port.port, port.target
            );
            if port.node_port > 0 {
                let _ = writeln!(text, "    nodePort: {}", port.node_port);
            }
        }
        text += &self.status;
        text
    }

    /// Its slice of a family, without endpoints.
    pub fn slice(&self, family: Family) -> Slice {
        Slice { service: self.name.clone(), family, ports: self.ports.clone(), endpoints: Vec::new() }
    }
}

/// An EndpointSlice of a Service: one for each family.
#[derive(Clone, Debug)]
pub struct Slice {
    service: String,
    family: Family,
    ports: Vec<ServicePort>,
    endpoints: Vec<Endpoint>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its address.
    pub ip: IpAddr,
    /// The name of its node.
    pub node: String,
    /// The condition `ready`; none = null, which counts as ready.
    pub ready: Option<bool>,
}

impl Slice {
    /// Its name.
    pub fn name(&self) -> String {
        format!("{}-{}", self.service, self.family.kubernetes().to_lowercase())
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// With one ready endpoint more.
    pub fn endpoint(self, ip: IpAddr, node: &str) -> Self {
        self.with(Endpoint { ip, node: node.to_owned(), ready: Some(true) })
    }

    /// With one endpoint more.
    pub fn with(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// The manifest.
    pub fn yaml(&self) -> String {
        let mut text = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {}\n  namespace: default\n  labels:\n    \
             kubernetes.io/service-name: {}\naddressType: {}\nports:\n",
            self.name(),
            self.service,
            self.family.kubernetes()
        );
        for port in &self.ports {
            let _ = writeln!(text, "- name: {}\n  protocol: {}\n  port: {}", port.name, port.proto, port.target);
        }
        text += if self.endpoints.is_empty() { "endpoints: []\n" } else { "endpoints:\n" };
        for endpoint in &self.endpoints {
            let _ = writeln!(text, "- addresses: [\"{}\"]\n  nodeName: {}", endpoint.ip, endpoint.node);
            if let Some(ready) = endpoint.ready {
                let _ = writeln!(text, "  conditions:\n    ready: {ready}\n    serving: {ready}\n    terminating: false");
            }
        }
        text
    }
}

/// `status` of a Service whose load balancer has these addresses.
pub fn ingress(addresses: &[&str]) -> String {
    let list: Vec<String> = addresses.iter().map(|address| format!("{{ip: \"{address}\"}}")).collect();
    format!("status: {{loadBalancer: {{ingress: [{}]}}}}\n", list.join(", "))
}

/// A Node object with the addresses of its uplink.
pub fn node_yaml(name: &str, addresses: &[IpAddr]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n  labels:\n    kubernetes.io/hostname: {name}\nstatus:\n  addresses:\n"
    );
    for address in addresses {
        let _ = writeln!(text, "  - type: InternalIP\n    address: \"{address}\"");
    }
    text
}
