//! The servers, started in order, each ready before the next.
//!
//! Invariant: requests reach the API server as a cluster's own clients do, over TLS with a token under RBAC; nothing of
//! the machine outside the namespace and the folder is touched.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cluster::{POD_CIDR_V4, POD_CIDR_V6, SERVICE_CIDR_V4, SERVICE_CIDR_V6};
use crate::controlplane::credentials::{self, Client};
use crate::controlplane::daemon::{Daemon, flags};
use crate::controlplane::etcd::{self, Etcd};
use crate::controlplane::programs::program;
use crate::http::{self, Body, Page};
use crate::netns::Netns;

/// Who the agent is, once deploy/ is applied.
pub const AGENT_IDENTITY: &str = "system:serviceaccount:kube-system:sluice";

const CLIENTS: [Client; 2] = [
    Client { name: "admin", user: "admin", groups: "system:masters" },
    Client { name: "agent", user: AGENT_IDENTITY, groups: "system:serviceaccounts,system:serviceaccounts:kube-system" },
];
/// Slices from pods and Endpoints, and gone with their Services.
const CONTROLLERS: &str =
    "endpointslice-controller,endpointslice-mirroring-controller,garbage-collector-controller,service-cidr-controller";
const PORT: u16 = 6443;
/// Plain HTTP with the administrator's rights, inside the namespace alone.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8001);

/// A running control plane. Dropping it ends its processes.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order: clients before servers.
    admin: Option<Daemon>,
    controllers: Option<Daemon>,
    api_server: Option<Daemon>,
    _etcd: Daemon,
    netns: Netns,
    address: IpAddr,
    folder: PathBuf,
}

impl ControlPlane {
    /// Starts everything in the namespace. Others reach it at `address`, which the namespace has; files go to `folder`.
    pub fn start(netns: &Netns, address: IpAddr, folder: &Path) -> Result<Self> {
        Self::start_over(Etcd::Current, netns, address, folder)
    }

    /// The same over an etcd of choice.
    pub fn start_over(etcd: Etcd, netns: &Netns, address: IpAddr, folder: &Path) -> Result<Self> {
        let folder = folder.join("controlplane");
        std::fs::create_dir_all(&folder)?;
        credentials::write_tokens(&folder, &CLIENTS)?;
        credentials::make_key(&folder)?;
        let etcd = etcd.start(netns, &folder)?;
        let mut plane =
            Self { admin: None, controllers: None, api_server: None, _etcd: etcd, netns: netns.clone(), address, folder };
        for client in &CLIENTS {
            let user = json!({"token": client.token()});
            plane.write_kubeconfig(client.name, &user)?;
        }
        plane.start_api_server()?;
        plane.start_controllers()?;
        Ok(plane)
    }

    /// The kubeconfig of the identity that deploy/ gives the agent. It has no rights before deploy/ is applied.
    pub fn agent_kubeconfig(&self) -> PathBuf {
        self.folder.join("agent.kubeconfig")
    }

    /// The administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Starts the API server and waits until it is ready and `request` works.
    pub fn start_api_server(&mut self) -> Result<()> {
        let mut server = self.daemon("kube-apiserver", &self.api_server_arguments())?;
        // kubectl reads the certificate at its own start.
        server.until(|| self.certificate().exists().then_some(()))?;
        let mut proxy = self.daemon("kubectl", &self.admin_proxy_arguments())?;
        server.until(|| {
            let page = self.request("GET", "/readyz", "").ok().filter(|page| page.status == 200);
            page.map(drop).map(Ok).or_else(|| proxy.check().err().map(Err))
        })??;
        (self.api_server, self.admin) = (Some(server), Some(proxy));
        Ok(())
    }

    /// Kills the API server: its connections are reset, its port is closed.
    pub fn stop_api_server(&mut self) -> Result<()> {
        self.admin = None;
        self.api_server.take().context("the API server is not running").map(drop)
    }

    /// Makes etcd forget everything but the present.
    pub fn compact(&self) -> Result<()> {
        let post = |path: &str, text: &str| -> Result<Value> {
            let page = http::request(&self.netns, etcd::ADDRESS, "POST", path, Some(Body { kind: "application/json", text }))?;
            if page.status != 200 {
                bail!("etcd answers {} to {path}: {}", page.status, page.body);
            }
            Ok(serde_json::from_str(&page.body)?)
        };
        let status = post("/v3/maintenance/status", "{}")?;
        let revision = status["header"]["revision"].as_str().context("a status without a revision")?;
        post("/v3/kv/compaction", &format!(r#"{{"revision":"{revision}","physical":true}}"#)).map(drop)
    }

    /// A request with the administrator's rights; the answer may have any status. The body is YAML or JSON, for PATCH a
    /// merge patch.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Result<Page> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/yaml" };
        let body = (!body.is_empty()).then_some(Body { kind, text: body });
        http::request(&self.netns, ADMIN, method, path, body)
    }

    /// A request that must succeed; returns what the API server answered.
    pub fn call(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let page = self.request(method, path, body)?;
        if page.status >= 300 {
            bail!("{method} {path} answers {}: {}", page.status, page.body);
        }
        serde_json::from_str(&page.body).with_context(|| format!("answer to {method} {path}"))
    }

    /// Runs kubectl as the administrator; returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.kubectl_output(&self.admin_kubeconfig(), arguments)?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs kubectl with a kubeconfig, whatever becomes of it.
    pub fn kubectl_output(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(program("kubectl")?);
        command.arg("--kubeconfig").arg(kubeconfig).args(arguments).env("HOME", &self.folder).stdin(Stdio::null());
        Ok(self.netns.enter(|| command.output())??)
    }

    fn start_controllers(&mut self) -> Result<()> {
        let kubeconfig = self.admin_kubeconfig().display().to_string();
        let arguments = flags(&[
            ("kubeconfig", &kubeconfig),
            ("controllers", CONTROLLERS),
            ("leader-elect", "false"),
            ("cluster-cidr", &format!("{POD_CIDR_V4},{POD_CIDR_V6}")),
        ]);
        self.controllers = Some(self.daemon("kube-controller-manager", &arguments)?);
        Ok(())
    }

    fn api_server_arguments(&self) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        flags(&[
            ("etcd-servers", &format!("http://{}", etcd::ADDRESS)),
            ("bind-address", credentials::any_address(self.address)),
            ("secure-port", &PORT.to_string()),
            ("advertise-address", &self.address.to_string()),
            ("cert-dir", &file("certificates")),
            ("token-auth-file", &file("tokens.csv")),
            ("authorization-mode", "RBAC"),
            ("service-account-issuer", credentials::ISSUER),
            ("service-account-key-file", &file(credentials::KEY)),
            ("service-account-signing-key-file", &file(credentials::KEY)),
            ("service-cluster-ip-range", &format!("{SERVICE_CIDR_V4},{SERVICE_CIDR_V6}")),
            ("disable-admission-plugins", "ServiceAccount"),
        ])
    }

    fn admin_proxy_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["proxy".to_owned()];
        let (kubeconfig, port) = (self.admin_kubeconfig().display().to_string(), ADMIN.port().to_string());
        arguments.extend(flags(&[
            ("kubeconfig", &kubeconfig),
            ("port", &port),
            ("accept-hosts", ".*"),
            ("reject-paths", "^$"),
        ]));
        arguments
    }

    /// Writes `<name>.kubeconfig` for these credentials and returns its path.
    pub(super) fn write_kubeconfig(&self, name: &str, user: &Value) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        let server = SocketAddr::from((self.address, PORT));
        std::fs::write(&path, credentials::kubeconfig(user, server, &self.certificate()).to_string())?;
        Ok(path)
    }

    /// Where clients reach the API server.
    pub(super) const fn server(&self) -> (IpAddr, u16) {
        (self.address, PORT)
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificates/apiserver.crt")
    }

    fn daemon(&self, name: &str, arguments: &[String]) -> Result<Daemon> {
        Daemon::start(&self.netns, &self.folder, name, &program(name)?, arguments)
    }
}
