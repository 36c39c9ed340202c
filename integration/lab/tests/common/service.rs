//! Services and their slices as manifests.

#![allow(dead_code, reason = "each test uses its own part")]

use std::net::{IpAddr, Ipv6Addr};

use meridian_lab::cluster::object::{Key, Object};
use serde_json::{Value, json};

/// The ports by which pods answer, of TCP and of UDP.
pub(crate) const PORTS: [u16; 2] = [8080, 5353];
const TCP: u16 = PORTS[0];
const UDP: u16 = PORTS[1];

/// A service of both families with a port of TCP and one of UDP.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    namespace: &'static str,
    name: &'static str,
    /// Whether every VPC may use it.
    shared: bool,
    /// Last part of its addresses, and of its ports on nodes.
    number: u8,
    /// Beside addresses and ports.
    spec: Value,
    ports: [u16; 2],
    on_nodes: bool,
    /// In which mode its load balancer works, if it has one.
    ingress: Option<&'static str>,
    slices: Vec<Slice>,
}

/// A slice for each family.
#[derive(Clone, Debug)]
struct Slice {
    endpoints: Vec<Endpoint>,
    tcp: u16,
}

/// What answers for a service.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) ips: Vec<IpAddr>,
    rest: Value,
}

/// Where a service is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frontend {
    pub(crate) ip: IpAddr,
    pub(crate) tcp: u16,
    pub(crate) udp: u16,
}

impl Service {
    /// Of type ClusterIP.
    pub(crate) fn new(name: &'static str, number: u8) -> Self {
        Self {
            namespace: "default",
            name,
            shared: false,
            number,
            spec: json!({}),
            ports: [80, 53],
            on_nodes: false,
            ingress: None,
            slices: vec![],
        }
    }

    /// Of another namespace than `default`.
    pub(crate) fn of(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    /// For pods of every VPC.
    pub(crate) fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Of type NodePort.
    pub(crate) fn on_nodes(mut self) -> Self {
        self.on_nodes = true;
        self.with("type", "NodePort")
    }

    /// Of type LoadBalancer, with [`Self::balancer`] as its addresses.
    pub(crate) fn balanced(self) -> Self {
        self.balanced_by("VIP")
    }

    /// The same in a mode.
    pub(crate) fn balanced_by(mut self, mode: &'static str) -> Self {
        self.ingress = Some(mode);
        self.on_nodes = true;
        self.with("type", "LoadBalancer")
    }

    /// Of type LoadBalancer without ports of nodes.
    pub(crate) fn balanced_only(self) -> Self {
        let mut service = self.balanced().with("allocateLoadBalancerNodePorts", false);
        service.on_nodes = false;
        service
    }

    /// With [`Self::external`] as addresses.
    pub(crate) fn with_external_ips(self) -> Self {
        let ips = self.external().map(|at| at.ip);
        self.with("externalIPs", json!(ips))
    }

    /// Answered from beyond by endpoints of the node alone.
    pub(crate) fn local(self) -> Self {
        let port = self.health_check_port();
        self.with("externalTrafficPolicy", "Local")
            .with("healthCheckNodePort", port)
    }

    /// A field of its spec.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.spec[field] = value.into();
        self
    }

    /// A client stays with an endpoint for so long.
    pub(crate) fn sticky(self, seconds: u32) -> Self {
        self.with("sessionAffinity", "ClientIP").with(
            "sessionAffinityConfig",
            json!({"clientIP": {"timeoutSeconds": seconds}}),
        )
    }

    /// With other ports than 80 and 53.
    pub(crate) fn with_ports(mut self, tcp: u16, udp: u16) -> Self {
        self.ports = [tcp, udp];
        self
    }

    /// Answered by these alone, by the usual ports.
    pub(crate) fn answered_by(mut self, endpoints: &[Endpoint]) -> Self {
        self.slices.clear();
        self.answered_also_by(endpoints, TCP)
    }

    /// A further slice.
    pub(crate) fn answered_also_by(mut self, endpoints: &[Endpoint], tcp: u16) -> Self {
        self.slices.push(Slice {
            endpoints: endpoints.to_vec(),
            tcp,
        });
        self
    }

    /// The same under other addresses and ports of nodes.
    pub(crate) fn with_number(mut self, number: u8) -> Self {
        self.number = number;
        self
    }

    pub(crate) fn cluster(&self) -> [Frontend; 2] {
        let ips = self.cluster_ips();
        let [tcp, udp] = self.ports;
        ips.map(|ip| Frontend { ip, tcp, udp })
    }

    /// Of a node or several, given their addresses.
    pub(crate) fn at_nodes(&self, ips: impl IntoIterator<Item = IpAddr>) -> Vec<Frontend> {
        let port = self.node_port();
        let at = |ip| Frontend {
            ip,
            tcp: port,
            udp: port,
        };
        ips.into_iter().map(at).collect()
    }

    pub(crate) fn balancer(&self) -> [Frontend; 2] {
        self.beyond(100)
    }

    pub(crate) fn external(&self) -> [Frontend; 2] {
        self.beyond(101)
    }

    pub(crate) fn health_check_port(&self) -> u16 {
        31_000 + u16::from(self.number)
    }

    fn node_port(&self) -> u16 {
        30_000 + u16::from(self.number)
    }

    fn beyond(&self, network: u8) -> [Frontend; 2] {
        let [tcp, udp] = self.ports;
        let number = self.number;
        let six = Ipv6Addr::new(0x2001, 0xdb8, network.into(), 0, 0, 0, 0, number.into());
        [IpAddr::from([198, 51, network, number]), six.into()].map(|ip| Frontend { ip, tcp, udp })
    }

    fn cluster_ips(&self) -> [IpAddr; 2] {
        match self.spec["clusterIPs"].as_array().map(Vec::as_slice) {
            Some([four, six]) => [four, six].map(|ip| ip.as_str().and_then(|ip| ip.parse().ok()).expect("an address")),
            _ => [
                [10, 96, 0, self.number].into(),
                Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, self.number.into()).into(),
            ],
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key::new("Service", self.namespace, self.name)
    }

    pub(crate) fn objects(&self) -> Vec<Object> {
        let mut spec = self.spec.clone();
        spec["clusterIPs"] = json!(self.cluster_ips());
        let [tcp, udp] = self.ports;
        spec["ports"] = json!([
            {"name": "http", "port": tcp},
            {"name": "dns", "port": udp, "protocol": "UDP"},
        ]);
        if self.on_nodes {
            for port in spec["ports"].as_array_mut().expect("ports") {
                port["nodePort"] = json!(self.node_port());
            }
        }
        let ingress = |mode: &'static str| self.balancer().map(|at| json!({"ip": at.ip, "ipMode": mode}));
        let ingress: Vec<Value> = self.ingress.into_iter().flat_map(ingress).collect();
        let annotations = if self.shared {
            json!({"meridian.dev/shared": "true"})
        } else {
            json!({})
        };
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": self.namespace, "name": self.name, "annotations": annotations},
            "spec": spec,
            "status": {"loadBalancer": {"ingress": ingress}},
        });
        let slices = self.slices.iter().enumerate();
        let slices = slices.flat_map(|(index, slice)| [true, false].map(|v4| self.slice(index, slice, v4)));
        let objects = std::iter::once(service).chain(slices);
        objects
            .map(|object| Object::from_value(object).expect("an object"))
            .collect()
    }

    fn slice(&self, index: usize, slice: &Slice, v4: bool) -> Value {
        let family = if v4 { "IPv4" } else { "IPv6" };
        let of_family = |endpoint: &Endpoint| {
            let ip = endpoint.ips.iter().find(|ip| ip.is_ipv4() == v4)?;
            let mut endpoint = endpoint.rest.clone();
            endpoint["addresses"] = json!([ip]);
            Some(endpoint)
        };
        let endpoints: Vec<Value> = slice.endpoints.iter().filter_map(of_family).collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "namespace": self.namespace,
                "name": format!("{}-{}-{index}", self.name, family.to_lowercase()),
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": family,
            "ports": [
                {"name": "http", "port": slice.tcp},
                {"name": "dns", "port": UDP, "protocol": "UDP"},
            ],
            "endpoints": endpoints,
        })
    }
}

impl Endpoint {
    pub(crate) fn new(ips: Vec<IpAddr>, node: Option<&str>) -> Self {
        Self {
            ips,
            rest: json!({"nodeName": node}),
        }
    }

    /// Neither ready nor, possibly, able to answer.
    pub(crate) fn terminating(mut self, serving: bool) -> Self {
        self.rest["conditions"] = json!({"ready": false, "serving": serving, "terminating": true});
        self
    }

    /// Meant for zones or nodes: `forZones` or `forNodes`, and their names.
    pub(crate) fn hinted(mut self, field: &str, names: &[&str]) -> Self {
        let names: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        self.rest["hints"][field] = json!(names);
        self
    }
}
