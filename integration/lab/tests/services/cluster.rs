//! The lab that the tests share: pods, zones, and how to put services into it.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex, Weak};

use meridian_lab::cluster::object::{self, Key, Object};
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::cluster::{self, store::Store};
use meridian_lab::command::Cmd;
use meridian_lab::error::Error;
use meridian_lab::netns;
use meridian_lab::plan::{Families, WORLD_V4, WORLD_V6};
use serde_json::json;

use crate::client;
use crate::common::{TestLab, share};
use crate::service::{Endpoint, Service};

/// `web-N` and `host-N` on node-N, the latter with its host's network; `client` on node-1, which can also answer.
const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web-1}
spec: {nodeName: node-1, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2}
spec: {nodeName: node-2, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {nodeName: node-1, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host-1}
spec: {nodeName: node-1, hostNetwork: true, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host-3}
spec: {nodeName: node-3, hostNetwork: true, containers: [{name: c, ports: [{containerPort: 8080}, {containerPort: 5353, protocol: UDP}]}]}
";

/// node-3 is in no zone.
const ZONES: [(&str, &str); 2] = [("node-1", "east"), ("node-2", "west")];

/// The nodes.
pub(crate) const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Who asks from where no policy makes a difference: pods beside and away from `web-1`, and hosts.
pub(crate) const INSIDE: [&str; 4] = ["client", "web-2", "node-1", "node-3"];
/// Who asks from beyond the cluster.
pub(crate) const OUTSIDE: &str = "fabric";
/// As whom it asks for addresses that it has a route to.
pub(crate) const WORLD: [IpAddr; 2] = [IpAddr::V4(WORLD_V4), IpAddr::V6(WORLD_V6)];

pub(crate) struct Cluster {
    pub(crate) lab: TestLab,
    /// Network namespaces of pods.
    sandboxes: BTreeMap<String, String>,
    /// The lab's controllers are one.
    applying: Mutex<()>,
}

/// The lab, if one can be.
pub(crate) fn shared() -> Option<Arc<Cluster>> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, Cluster::start)
}

impl Cluster {
    fn start() -> Self {
        let lab = TestLab::up(Families::Dual);
        let mut objects = object::parse(PODS).expect("the manifests are well-formed");
        for (node, zone) in ZONES {
            let found = Store::of(&lab.lab.plan().dir).get(&Key::new("Node", "", node));
            let mut node = found.expect("the store is readable").expect("the node is there");
            node.0["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!(zone);
            objects.push(node);
        }
        cluster::apply(&lab.lab, objects).unwrap_or_else(|e| panic!("apply: {e}"));
        let all = Sandbox::all(&lab.lab).expect("sandboxes are readable");
        Self {
            sandboxes: all.into_iter().map(|pod| (pod.name, pod.netns)).collect(),
            lab,
            applying: Mutex::default(),
        }
    }

    pub(crate) fn apply(&self, objects: Vec<Object>) {
        let _one = self.applying.lock();
        cluster::apply(&self.lab.lab, objects).unwrap_or_else(|e| panic!("apply: {e}"));
    }

    pub(crate) fn put(&self, service: &Service) {
        self.apply(service.objects());
    }

    pub(crate) fn delete(&self, keys: &[Key]) {
        let _one = self.applying.lock();
        cluster::delete(&self.lab.lab, keys).unwrap_or_else(|e| panic!("delete: {e}"));
    }

    /// A pod as an endpoint.
    pub(crate) fn endpoint(&self, pod: &str) -> Endpoint {
        let found = self.lab.pod(pod).expect("the pod is there");
        let ips = found.0["status"]["podIPs"].as_array().expect("it has addresses");
        let ips = ips.iter().map(|ip| ip["ip"].as_str()?.parse().ok());
        let ips: Option<Vec<IpAddr>> = ips.collect();
        let node = found.0["spec"]["nodeName"].as_str().expect("it is scheduled");
        Endpoint::new(ips.expect("addresses"), Some(node))
    }

    /// Addresses of a host, of both families.
    pub(crate) fn host_ips(&self, host: &str) -> Vec<IpAddr> {
        let plan = self.lab.lab.plan();
        let ips = match plan.host(host) {
            Some(host) => plan.node_ips(&host),
            None => plan.central_ips(),
        };
        ips.iter().map(ipnetwork::IpNetwork::ip).collect()
    }

    /// The network namespace of a pod or a host.
    pub(crate) fn place(&self, who: &str) -> String {
        let sandbox = self.sandboxes.get(who);
        sandbox.cloned().unwrap_or_else(|| self.lab.lab.plan().netns(who))
    }

    /// The world reaches these addresses by a node.
    pub(crate) fn route(&self, addresses: [IpAddr; 2], node: &str) {
        for (address, (via, source)) in addresses.iter().zip(self.host_ips(node).iter().zip(WORLD)) {
            self.ip(OUTSIDE, &format!("route replace {address} via {via} src {source}"));
        }
    }

    /// Runs `ip` on a host.
    pub(crate) fn ip(&self, host: &str, command: &str) {
        let command = Cmd::new("ip").args(command.split(' ')).netns(&self.place(host));
        command.run().unwrap_or_else(|e| panic!("{host}: {e}"));
    }

    /// A server that answers any request as if it were a pod of the host's name. It ends with the test's process.
    pub(crate) fn serve_on(&self, host: &'static str, address: (&str, u16)) {
        let listener = netns::within(&self.place(host), || {
            TcpListener::bind(address).map_err(Error::net("listen on a host"))
        });
        let listener = listener.unwrap_or_else(|e| panic!("{host}: {e}"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                client::serve(stream, host).ok();
            }
        });
    }
}
