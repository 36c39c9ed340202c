//! A cluster with services, as events and as manifests.

use meridian_model::{EndpointSlice, Event, Kind, Node, Object, Service, ServiceCidr, TrafficPolicy};
use serde_json::{Value, json};

use crate::cluster::{self, Size};

/// The label of a node that names its zone.
const ZONE: &str = "topology.kubernetes.io/zone";
const ZONES: usize = 3;
/// How many endpoints each service has to begin with: pods on as many nodes.
const ENDPOINTS: usize = 10;
/// The first port of nodes: each tenth service has one.
const NODE_PORTS: usize = 30_000;

/// A cluster whose pods are endpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Services {
    pub(crate) size: Size,
    pub(crate) count: usize,
    /// Whether some of the services care where connections come from.
    pub(crate) mixed: bool,
}

/// For whom a service's endpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Everybody,
    TheirNode,
    Zones,
    Nodes,
}

impl Services {
    /// What tells these from others on the screen.
    pub(crate) fn label(self) -> String {
        let mixed = if self.mixed { " mixed" } else { "" };
        format!("{}{mixed} services", self.count)
    }

    pub(crate) fn endpoints(self) -> usize {
        self.count * ENDPOINTS
    }

    /// The full lists a source begins with.
    pub(crate) fn events(self) -> Vec<Event> {
        let cidr = ServiceCidr {
            name: "kubernetes".into(),
            cidrs: ["10.96.0.0/16".into()].into(),
        };
        let [_, pods] = self.size.events();
        let nodes = (0..self.size.nodes).map(|at| Object::Node(node(at)));
        let services = (0..self.count).map(|at| Object::Service(self.service(at)));
        let slices = (0..self.count).map(|at| Object::EndpointSlice(self.slice(at, ENDPOINTS)));
        vec![
            Event::Replace(Kind::ServiceCidr, vec![cidr.into()]),
            Event::Replace(Kind::Node, nodes.collect()),
            pods,
            Event::Replace(Kind::Service, services.collect()),
            Event::Replace(Kind::EndpointSlice, slices.collect()),
        ]
    }

    /// One endpoint more at one of the first `among` services, which take turns.
    pub(crate) fn one_more(self, turn: usize, among: usize) -> Event {
        let slice = self.slice(turn % among, ENDPOINTS + 1 + turn / among);
        Event::Apply(Object::EndpointSlice(slice))
    }

    /// The same as manifests.
    pub(crate) fn manifests(self) -> impl Iterator<Item = Value> {
        let cidr = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16"]},
        });
        let labelled = move |mut manifest: Value| {
            if manifest["kind"] == "Node" {
                let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
                let at = name.rsplit('-').next().and_then(|at| at.parse().ok());
                manifest["metadata"]["labels"] = json!({ZONE: zone(at.unwrap_or(0))});
            }
            manifest
        };
        let services = (0..self.count).flat_map(move |at| manifests_of(&self.service(at), &self.slice(at, ENDPOINTS)));
        self.size.manifests().map(labelled).chain([cidr]).chain(services)
    }

    fn service(self, at: usize) -> Service {
        let [high, low] = [1 + at / 250, 1 + at % 250];
        let address = format!("10.96.{high}.{low}");
        let mut service = Service::test(&namespace(at), &name(at))
            .under([&*address])
            .with_port("http", 80);
        if at.is_multiple_of(10) {
            let port = i32::try_from(NODE_PORTS + at / 10).expect("a port");
            service = service.on_nodes(port);
        }
        if self.whose(at) == For::TheirNode {
            service = service.with_policies(TrafficPolicy::Local, TrafficPolicy::Cluster);
        }
        service
    }

    fn slice(self, at: usize, endpoints: usize) -> EndpointSlice {
        let mut slice = EndpointSlice::test(&namespace(at), &name(at), "x").with_port("http", 8080);
        for index in 0..endpoints {
            let pod = (at * ENDPOINTS + index) % self.size.pods;
            let on = pod % self.size.nodes;
            let pod = self.size.pod(pod);
            let address = pod.ips[0].to_string();
            slice = slice.ready([&*address]).on(&cluster::node_name(on));
            slice = match self.whose(at) {
                For::Everybody | For::TheirNode => slice,
                For::Zones => slice.meant_for(&[&zone(on)], &[]),
                For::Nodes => slice.meant_for(&[&zone(on)], &[&cluster::node_name(on)]),
            };
        }
        slice
    }

    /// Of a hundred mixed services ten answer on their nodes only, ten have hints for zones, and one for nodes.
    fn whose(self, at: usize) -> For {
        match (self.mixed, at % 100) {
            (true, 1) => For::Nodes,
            (true, last) if last % 10 == 2 => For::TheirNode,
            (true, last) if last % 10 == 3 => For::Zones,
            _ => For::Everybody,
        }
    }
}

fn node(at: usize) -> Node {
    let mut node = cluster::node(at);
    node.labels = [(ZONE, zone(at))].into_iter().collect();
    node
}

fn zone(node: usize) -> String {
    format!("zone-{}", node % ZONES)
}

fn namespace(at: usize) -> String {
    format!("namespace-{}", at % 100)
}

fn name(at: usize) -> String {
    format!("service-{at}")
}

/// What a real API server would say of a plain service and its slice.
fn manifests_of(service: &Service, slice: &EndpointSlice) -> [Value; 2] {
    let on_nodes = service.ports[0].node_port;
    let endpoints: Vec<Value> = slice
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "addresses": [endpoint.address], "nodeName": endpoint.node,
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": slice.namespace, "name": "workload", "uid": "2f0c"},
            })
        })
        .collect();
    [
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": service.name, "namespace": service.namespace, "uid": "2f0c", "resourceVersion": "123456"},
            "spec": {
                "type": if on_nodes.is_some() { "NodePort" } else { "ClusterIP" },
                "clusterIP": service.cluster_ips[0], "clusterIPs": service.cluster_ips,
                "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": on_nodes}],
                "selector": {"app": "workload"}, "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": slice.name, "namespace": slice.namespace,
                "labels": {"kubernetes.io/service-name": slice.service}},
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            "endpoints": endpoints,
        }),
    ]
}
