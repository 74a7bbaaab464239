//! Objects in the API server, written as their usual writers write them: Services by users, pods' status by kubelets.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::controlplane::ControlPlane;
use crate::manifests::{Service, Slice, node_yaml};

const NODES: &str = "/api/v1/nodes";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/sluice";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// A pod as the EndpointSlice controller sees it.
#[derive(Clone, Debug)]
pub struct Pod<'a> {
    /// Its name.
    pub name: &'a str,
    /// The label `app`, which Services select.
    pub app: &'a str,
    /// The node it runs on.
    pub node: &'a str,
    /// Its addresses.
    pub ips: &'a [IpAddr],
}

impl ControlPlane {
    /// Applies deploy/base, which gives the agent its rights.
    pub fn deploy(&self) -> Result<()> {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy").join("base");
        self.kubectl(&["apply", "--server-side", "-k", &base.display().to_string()]).map(drop)
    }

    /// The capabilities that the DaemonSet of deploy/ grants, once it is applied.
    pub fn agent_capabilities(&self) -> Result<Vec<String>> {
        let set = self.call("GET", DAEMON_SET, "")?;
        let context = &set["spec"]["template"]["spec"]["containers"][0]["securityContext"];
        ensure!(context["privileged"] == Value::Bool(false), "the DaemonSet's container is privileged");
        Ok(serde_json::from_value(context["capabilities"]["add"].clone())?)
    }

    /// Registers a node, as its kubelet does.
    pub fn add_node(&self, name: &str, addresses: &[IpAddr]) -> Result<()> {
        self.call("POST", NODES, &node_yaml(name, addresses)).map(drop)
    }

    /// Changes a Node, but for its status, by a merge patch.
    pub fn patch_node(&self, name: &str, patch: &Value) -> Result<()> {
        self.call("PATCH", &format!("{NODES}/{name}"), &patch.to_string()).map(drop)
    }

    /// A Node has these addresses and no others, as its kubelet says.
    pub fn set_node_addresses(&self, name: &str, addresses: &[IpAddr]) -> Result<()> {
        let addresses: Vec<Value> = addresses.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
        let status = json!({"status": {"addresses": addresses}});
        self.call("PATCH", &format!("{NODES}/{name}/status"), &status.to_string()).map(drop)
    }

    /// Deletes a Node; it stays as long as it has finalizers.
    pub fn remove_node(&self, name: &str) -> Result<()> {
        self.call("DELETE", &format!("{NODES}/{name}"), "").map(drop)
    }

    /// Creates a Service; it needs no ClusterIPs of its own.
    pub fn add_service(&self, service: &Service) -> Result<()> {
        self.call("POST", SERVICES, &service.yaml()).map(drop)
    }

    /// Changes a Service by a merge patch.
    pub fn patch_service(&self, name: &str, patch: &Value) -> Result<()> {
        self.call("PATCH", &format!("{SERVICES}/{name}"), &patch.to_string()).map(drop)
    }

    /// Deletes a Service; the controller removes its slices.
    pub fn remove_service(&self, name: &str) -> Result<()> {
        self.call("DELETE", &format!("{SERVICES}/{name}"), "").map(drop)
    }

    /// Creates a slice that no controller manages: its Service must have no selector.
    pub fn add_slice(&self, slice: &Slice) -> Result<()> {
        self.call("POST", SLICES, &slice.yaml()).map(drop)
    }

    /// Writes such a slice anew. It has taken effect in the API server when this returns.
    pub fn replace_slice(&self, slice: &Slice) -> Result<()> {
        self.call("PUT", &format!("{SLICES}/{}", slice.name()), &slice.yaml()).map(drop)
    }

    /// How many ready endpoints the slices of a Service have, in both families together.
    pub fn ready_endpoints(&self, service: &str) -> Result<usize> {
        let slices = self.call("GET", &format!("{SLICES}?labelSelector=kubernetes.io/service-name={service}"), "")?;
        let slices = slices["items"].as_array().into_iter().flatten();
        let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array()).flatten();
        Ok(endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == Value::Bool(true)).count())
    }

    /// Creates a pod that runs and is ready.
    pub fn add_pod(&self, pod: &Pod) -> Result<()> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod.name, "labels": {"app": pod.app}},
            "spec": {
                "nodeName": pod.node,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "none"}],
            },
        });
        self.call("POST", PODS, &object.to_string())?;
        self.set_ready(pod, true)
    }

    /// Tells whether a pod is ready, as its kubelet does.
    pub fn set_ready(&self, pod: &Pod, ready: bool) -> Result<()> {
        let condition = if ready { "True" } else { "False" };
        let ips: Vec<Value> = pod.ips.iter().map(|ip| json!({"ip": ip})).collect();
        let status = json!({"status": {
            "phase": "Running",
            "podIP": pod.ips.first(),
            "podIPs": ips,
            "conditions": [{"type": "Ready", "status": condition}],
        }});
        self.call("PATCH", &format!("{PODS}/{}/status", pod.name), &status.to_string()).map(drop)
    }

    /// Begins to delete a pod, which goes on running: its kubelet would have 30 s for it.
    pub fn terminate_pod(&self, name: &str) -> Result<()> {
        self.call("DELETE", &format!("{PODS}/{name}?gracePeriodSeconds=30"), "").map(drop)
    }

    /// The load balancer of a Service has this address.
    pub fn set_ingress(&self, name: &str, address: &str) -> Result<()> {
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
        self.call("PATCH", &format!("{SERVICES}/{name}/status"), &status.to_string()).map(drop)
    }

    /// Sets a label on all slices of a Service, or removes it.
    pub fn label_slices(&self, service: &str, label: &str, value: Option<&str>) -> Result<()> {
        let list = self.call("GET", &format!("{SLICES}?labelSelector=kubernetes.io/service-name={service}"), "")?;
        let patch = json!({"metadata": {"labels": {label: value}}}).to_string();
        for slice in list["items"].as_array().into_iter().flatten() {
            let name = slice["metadata"]["name"].as_str().unwrap_or_default();
            self.call("PATCH", &format!("{SLICES}/{name}"), &patch)?;
        }
        Ok(())
    }

    /// Deletes a pod at once.
    pub fn remove_pod(&self, name: &str) -> Result<()> {
        self.call("DELETE", &format!("{PODS}/{name}?gracePeriodSeconds=0"), "").map(drop)
    }
}
