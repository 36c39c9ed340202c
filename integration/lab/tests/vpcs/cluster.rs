//! The lab that the tests share: VPCs, their pods and services, and who listens on hosts and beyond the cluster.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex, RwLock, Weak};

use meridian_lab::cluster;
use meridian_lab::cluster::object::{self, Key, Object};
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::command::Cmd;
use meridian_lab::error::Error;
use meridian_lab::netns;
use meridian_lab::plan::{Families, WORLD_V4, WORLD_V6};
use serde_json::json;

use crate::client;
use crate::common::{TestLab, share};
use crate::service::{self, Endpoint, Frontend, Service};

/// The networks of every VPC here but `teal`, the peer of `blue`.
pub(crate) const NETWORKS: [&str; 2] = ["10.10.0.0/16", "fd00:10:10::/48"];

/// The nodes.
pub(crate) const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Who asks from beyond the cluster.
pub(crate) const OUTSIDE: &str = "fabric";
/// Its addresses, as whom it asks for addresses that it has a route to.
pub(crate) const WORLD: [IpAddr; 2] = [IpAddr::V4(WORLD_V4), IpAddr::V6(WORLD_V6)];

/// On which port hosts and the outside answer.
const LISTENER: u16 = 9000;

/// VPCs with their namespaces and the rest of their specs. `teal` agrees to be the peer of `blue` by an object of its own.
const VPCS: [(&str, &str, &str); 4] = [
    ("blue", "sky", r#"{"peers": [{"name": "teal"}]}"#),
    (
        "teal",
        "sea",
        r#"{"podNetwork": {"cidrs": ["10.11.0.0/16", "fd00:10:11::/48"]}}"#,
    ),
    ("green", "grass", "{}"),
    (
        "red",
        "earth",
        r#"{"egress": {"mode": "None"}, "services": {"shared": false}}"#,
    ),
];

/// A Subnet of `blue`, and pods in it. Beside them are slices, of which some other pods are.
pub(crate) const SUBNET: [&str; 2] = ["10.20.0.0/16", "fd00:10:20::/64"];
const IN_SUBNET: [(&str, &str); 2] = [("sky/db-1", "node-1"), ("sky/db-2", "node-2")];

/// Pods and their nodes, wave by wave so that it is known who has which address. On one node no two VPCs have the same part
/// of their networks, because the host has routes to its own pods; but `sky/web-1` and `grass/web-3` have the same address, and
/// so do `sky/web-2` and `grass/web-1`. No pod of blue is on node-3, none of green on node-2.
const PODS: [&[(&str, &str)]; 5] = [
    &[("sky/web-1", "node-1")],
    &[("grass/web-1", "node-1")],
    &[
        ("sky/web-2", "node-2"),
        ("grass/web-3", "node-3"),
        ("earth/web-1", "node-1"),
    ],
    &[
        ("sky/client-1", "node-1"),
        ("sky/client-2", "node-2"),
        ("grass/client-1", "node-1"),
        ("grass/client-3", "node-3"),
        ("plain-1", "node-1"),
        ("plain-2", "node-2"),
        ("plain-3", "node-3"),
    ],
    // Nobody else has the address of the first.
    &[("sky/last", "node-2"), ("sea/client-1", "node-1")],
];

pub(crate) struct Cluster {
    pub(crate) lab: TestLab,
    /// By namespace and name, the namespace left out where it is `default`.
    sandboxes: RwLock<BTreeMap<String, Sandbox>>,
    /// The lab's controllers are one.
    applying: Mutex<()>,
}

/// The lab, if one can be.
pub(crate) fn shared() -> Option<Arc<Cluster>> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, Cluster::start)
}

/// `default/web` is `web`.
fn short(namespace: &str, name: &str) -> String {
    match namespace {
        "default" => name.to_owned(),
        _ => format!("{namespace}/{name}"),
    }
}

/// A VPC and a namespace of it.
pub(crate) fn vpc(name: &str, namespace: &str, spec: &str) -> Vec<Object> {
    let mut spec: serde_json::Value = serde_json::from_str(spec).expect("JSON");
    spec["namespaceSelector"] = json!({"matchLabels": {"vpc": name}});
    if spec["podNetwork"].is_null() {
        spec["podNetwork"] = json!({"cidrs": NETWORKS});
    }
    let vpc = json!({"apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc", "metadata": {"name": name}, "spec": spec});
    vec![Object::from_value(vpc).expect("an object"), in_vpc(namespace, name)]
}

/// A namespace that is in a VPC.
pub(crate) fn in_vpc(namespace: &str, vpc: &str) -> Object {
    let metadata = json!({"name": namespace, "labels": {"vpc": vpc}});
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
    Object::from_value(object).expect("an object")
}

/// A pod, `namespace/name`, that answers by TCP and UDP.
pub(crate) fn pod(pod: &str, node: &str) -> Object {
    let (namespace, name) = pod.split_once('/').unwrap_or(("default", pod));
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{namespace: {namespace}, name: {name}}}
spec:
  nodeName: {node}
  containers: [{{name: c, ports: [{{containerPort: 8080}}, {{containerPort: 5353, protocol: UDP}}]}}]"
    );
    object::parse(&text).expect("a manifest").remove(0)
}

/// A Subnet, whose router has the ninth address of each network.
pub(crate) fn subnet(name: &str, vpc: &str, cidrs: [&str; 2], dhcp: &serde_json::Value) -> Object {
    let ninth = |cidr: &str| {
        let (network, _) = cidr.split_once('/').expect("a network");
        let network = network.strip_suffix('0').unwrap_or(network);
        format!("{network}9")
    };
    let spec = json!({"vpc": vpc, "cidrs": cidrs, "gateways": cidrs.map(ninth), "dhcp": dhcp});
    let object =
        json!({"apiVersion": "meridian.dev/v1alpha1", "kind": "Subnet", "metadata": {"name": name}, "spec": spec});
    Object::from_value(object).expect("an object")
}

/// The same with annotations of ours.
pub(crate) fn annotated(mut object: Object, annotations: &[(&str, &str)]) -> Object {
    for (name, value) in annotations {
        object.0["metadata"]["annotations"][format!("meridian.dev/{name}")] = json!(value);
    }
    object
}

impl Cluster {
    /// A lab of a test's own, for one that breaks it. Hosts and the outside answer there, and nothing else is in it.
    pub(crate) fn empty() -> Self {
        let cluster = Self {
            lab: TestLab::up(Families::Dual),
            sandboxes: RwLock::default(),
            applying: Mutex::default(),
        };
        for host in NODES.into_iter().chain([OUTSIDE]) {
            cluster.serve_on(host, ("::", LISTENER));
        }
        cluster
    }

    fn start() -> Self {
        let cluster = Self::empty();
        let vpcs = VPCS
            .iter()
            .flat_map(|(name, namespace, spec)| vpc(name, namespace, spec));
        let agrees = json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "VpcPeering", "metadata": {"name": "teal-to-blue"},
            "spec": {"vpc": "teal", "peer": "blue"},
        });
        let agrees = Object::from_value(agrees).expect("an object");
        cluster.apply(vpcs.chain([agrees]).collect());
        for wave in PODS {
            cluster.apply(wave.iter().map(|(name, node)| pod(name, node)).collect());
        }
        let dhcp = json!({"enabled": false});
        let pods = IN_SUBNET.map(|(name, node)| annotated(pod(name, node), &[("subnet", "db")]));
        cluster.apply([subnet("db", "blue", SUBNET, &dhcp)].into_iter().chain(pods).collect());
        cluster
    }

    pub(crate) fn apply(&self, objects: Vec<Object>) {
        let _one = self.applying.lock();
        cluster::apply(&self.lab.lab, objects).unwrap_or_else(|e| panic!("apply: {e}"));
        self.look_around();
    }

    pub(crate) fn put(&self, service: &Service) {
        self.apply(service.objects());
    }

    pub(crate) fn delete(&self, keys: &[Key]) {
        let _one = self.applying.lock();
        cluster::delete(&self.lab.lab, keys).unwrap_or_else(|e| panic!("delete: {e}"));
        self.look_around();
    }

    fn look_around(&self) {
        let all = Sandbox::all(&self.lab.lab).expect("sandboxes are readable");
        let all = all.into_iter().map(|pod| (short(&pod.namespace, &pod.name), pod));
        *self.sandboxes.write().expect("nobody panics") = all.collect();
    }

    fn sandbox(&self, pod: &str) -> Option<Sandbox> {
        self.sandboxes.read().expect("nobody panics").get(pod).cloned()
    }

    /// Addresses of a pod, of both families.
    pub(crate) fn pod_ips(&self, pod: &str) -> [IpAddr; 2] {
        let sandbox = self.sandbox(pod).unwrap_or_else(|| panic!("no pod {pod} runs"));
        let ips: Vec<IpAddr> = sandbox.ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        ips.try_into().expect("an address of each family")
    }

    /// A pod as an endpoint.
    pub(crate) fn endpoint(&self, pod: &str) -> Endpoint {
        let node = self.sandbox(pod).map(|sandbox| sandbox.node);
        Endpoint::new(self.pod_ips(pod).to_vec(), node.as_deref())
    }

    /// Where a pod answers.
    pub(crate) fn at(&self, pod: &str) -> [Frontend; 2] {
        let [tcp, udp] = service::PORTS;
        self.pod_ips(pod).map(|ip| Frontend { ip, tcp, udp })
    }

    /// Addresses of a host on the node network, of both families.
    pub(crate) fn host_ips(&self, host: &str) -> [IpAddr; 2] {
        let plan = self.lab.lab.plan();
        let ips = match plan.host(host) {
            Some(host) => plan.node_ips(&host),
            None => plan.gateway_ips(),
        };
        let ips: Vec<IpAddr> = ips.iter().map(ipnetwork::IpNetwork::ip).collect();
        ips.try_into().expect("an address of each family")
    }

    /// Addresses of all nodes.
    pub(crate) fn nodes(&self) -> Vec<IpAddr> {
        NODES.iter().flat_map(|node| self.host_ips(node)).collect()
    }

    /// Addresses of a host's devices in a VPC, none where it has no such device.
    pub(crate) fn device_ips(&self, host: &str, device: &str) -> Vec<IpAddr> {
        let args = ["-o", "address", "show", "scope", "global", "dev", device];
        let shown = Cmd::new("ip").args(args).netns(&self.place(host)).run();
        let shown = shown.unwrap_or_default();
        let words = shown.lines().filter_map(|line| line.split_whitespace().nth(3));
        words.filter_map(|word| word.split('/').next()?.parse().ok()).collect()
    }

    /// The network namespace of a pod or a host.
    pub(crate) fn place(&self, who: &str) -> String {
        let sandbox = self.sandbox(who).map(|sandbox| sandbox.netns);
        sandbox.unwrap_or_else(|| self.lab.lab.plan().netns(who))
    }

    /// The world reaches these addresses by a node.
    pub(crate) fn route(&self, addresses: &[String], node: &str) {
        for address in addresses {
            let v6 = usize::from(address.contains(':'));
            let (via, source) = (self.host_ips(node)[v6], WORLD[v6]);
            let command = format!("route replace {address} via {via} src {source}");
            let command = Cmd::new("ip").args(command.split(' ')).netns(&self.place(OUTSIDE));
            command.run().unwrap_or_else(|e| panic!("{e}"));
        }
    }

    /// A tool of Open vSwitch on a node.
    pub(crate) fn ovs(&self, node: &str, tool: &str, args: &[&str]) -> String {
        let host = self.lab.lab.plan().host(node).expect("a node");
        let ran = self.lab.lab.ovs(&host, tool, args);
        ran.unwrap_or_else(|e| panic!("{node}: {e}"))
    }

    /// A tool of OVN on the central databases.
    pub(crate) fn ovn(&self, tool: &str, args: &[&str]) -> String {
        self.lab.lab.ovn(tool, args).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A server that answers any request as if it were a pod of the host's name. It ends with the test's process.
    fn serve_on(&self, host: &'static str, address: (&str, u16)) {
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

/// Where a host listens, or somebody outside, under these addresses.
pub(crate) fn listening(ips: impl IntoIterator<Item = IpAddr>) -> Vec<Frontend> {
    let (tcp, udp) = (LISTENER, LISTENER);
    ips.into_iter().map(|ip| Frontend { ip, tcp, udp }).collect()
}
