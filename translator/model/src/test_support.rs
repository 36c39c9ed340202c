//! Builders for tests: `Pod::test("shop", "web-0").on("node-a").with_ips(["10.244.0.5"])`.

use std::net::IpAddr;

use crate::{
    AddressPool, AddressType, Egress, Endpoint, EndpointPort, EndpointSlice, EndpointState, Event, Hints, Labels, Name,
    NamedPort, Namespace, NetworkPolicy, Node, Object, Phase, Pod, PolicyRule, Protocol, Requirement, Selector,
    Service, ServiceCidr, ServicePort, ServiceType, Timestamp, TrafficPolicy, Vpc,
};

fn addresses<'a>(ips: impl IntoIterator<Item = &'a str>) -> Box<[IpAddr]> {
    ips.into_iter()
        .map(|ip| ip.parse().expect("tests give well-formed addresses"))
        .collect()
}

impl Node {
    /// A node without pod CIDRs, created at time 0.
    pub fn test(name: &str) -> Self {
        Self {
            name: name.into(),
            uid: format!("{name}-uid").into(),
            created: Timestamp(0),
            pod_cidrs: Box::default(),
            internal_ips: Box::default(),
            labels: Labels::default(),
            ready: true,
        }
    }

    /// With these `spec.podCIDRs`.
    #[must_use]
    pub fn with_cidrs<'a>(mut self, cidrs: impl IntoIterator<Item = &'a str>) -> Self {
        self.pod_cidrs = cidrs.into_iter().map(Name::from).collect();
        self
    }

    /// Created at that second.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created = Timestamp(seconds);
        self
    }

    /// With a label more.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: &str) -> Self {
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.labels = labels.chain([(key.into(), value.into())]).collect();
        self
    }

    /// In a zone.
    #[must_use]
    pub fn in_zone(self, zone: &str) -> Self {
        self.labelled("topology.kubernetes.io/zone", zone)
    }

    /// Not ready.
    #[must_use]
    pub fn unready(mut self) -> Self {
        self.ready = false;
        self
    }
}

impl Namespace {
    /// A namespace without labels.
    pub fn test(name: &str) -> Self {
        Self {
            name: name.into(),
            labels: Labels::default(),
        }
    }

    /// With a label more.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: &str) -> Self {
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.labels = labels.chain([(key.into(), value.into())]).collect();
        self
    }

    /// In a VPC of [`Vpc::test`].
    #[must_use]
    pub fn in_vpc(mut self, vpc: &str) -> Self {
        self.labels = [("vpc", vpc)].into_iter().collect();
        self
    }
}

impl Pod {
    /// A pending pod without node and addresses, created at time 0, UID `<name>-uid`.
    pub fn test(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            uid: format!("{name}-uid").into(),
            created: Timestamp(0),
            node: None,
            host_network: false,
            phase: Phase::Pending,
            ips: Box::default(),
            deleting: false,
            labels: Labels::default(),
            named_ports: Box::default(),
        }
    }

    /// Scheduled on a node.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.into());
        self
    }

    /// With these `status.podIPs`.
    #[must_use]
    pub fn with_ips<'a>(mut self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.ips = addresses(ips);
        self
    }

    /// With a label more.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: &str) -> Self {
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.labels = labels.chain([(key.into(), value.into())]).collect();
        self
    }

    /// With a container port more that has a name.
    #[must_use]
    pub fn with_named_port(mut self, name: &str, protocol: Protocol, number: u16) -> Self {
        let name = name.into();
        let port = NamedPort { name, protocol, number };
        self.named_ports = self.named_ports.into_iter().chain([port]).collect();
        self.named_ports.sort_unstable();
        self
    }

    /// With another UID.
    #[must_use]
    pub fn with_uid(mut self, uid: &str) -> Self {
        self.uid = uid.into();
        self
    }

    /// In that phase.
    #[must_use]
    pub fn in_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// Created at that second.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created = Timestamp(seconds);
        self
    }

    /// In the host's network.
    #[must_use]
    pub fn in_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// With a deletion timestamp.
    #[must_use]
    pub fn being_deleted(mut self) -> Self {
        self.deleting = true;
        self
    }
}

impl Service {
    /// A service of type `ClusterIP` without address and ports.
    pub fn test(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            r#type: ServiceType::ClusterIp,
            cluster_ips: Box::default(),
            ports: Box::default(),
            left_to_others: false,
            affinity_seconds: None,
            shared: false,
            created: Timestamp::default(),
            external_ips: Box::default(),
            ingress_ips: Box::default(),
            source_ranges: Box::default(),
            external_policy: TrafficPolicy::Cluster,
            internal_policy: TrafficPolicy::Cluster,
            health_check_port: None,
        }
    }

    /// With these `spec.clusterIPs`.
    #[must_use]
    pub fn under<'a>(mut self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.cluster_ips = ips.into_iter().map(Name::from).collect();
        self
    }

    /// With a TCP port more.
    #[must_use]
    pub fn with_port(self, name: &str, port: i32) -> Self {
        self.with_port_of(Protocol::Tcp, name, port)
    }

    /// With a port more.
    #[must_use]
    pub fn with_port_of(mut self, protocol: Protocol, name: &str, port: i32) -> Self {
        let name = name.into();
        let port = ServicePort {
            name,
            protocol,
            port,
            node_port: None,
        };
        self.ports = self.ports.into_iter().chain([port]).collect();
        self
    }

    /// Of type `NodePort`, its last port being that of every node.
    #[must_use]
    pub fn on_nodes(mut self, node_port: i32) -> Self {
        self.r#type = ServiceType::NodePort;
        let last = self.ports.last_mut().expect("the service has a port");
        last.node_port = Some(node_port);
        self
    }

    /// Of type `LoadBalancer`, reached under these addresses.
    #[must_use]
    pub fn behind<'a>(mut self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.r#type = ServiceType::LoadBalancer;
        self.ingress_ips = ips.into_iter().map(Name::from).collect();
        self
    }

    /// Also reached under these addresses.
    #[must_use]
    pub fn with_external_ips<'a>(mut self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.external_ips = ips.into_iter().map(Name::from).collect();
        self
    }

    /// With these traffic policies, the internal one first.
    #[must_use]
    pub fn with_policies(mut self, internal: TrafficPolicy, external: TrafficPolicy) -> Self {
        self.internal_policy = internal;
        self.external_policy = external;
        self
    }

    /// Created at that second.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created = Timestamp(seconds);
        self
    }

    /// For clients in these networks alone, where it comes to addresses of a load balancer.
    #[must_use]
    pub fn only_for<'a>(mut self, ranges: impl IntoIterator<Item = &'a str>) -> Self {
        self.source_ranges = ranges.into_iter().map(Name::from).collect();
        self
    }

    /// With `spec.healthCheckNodePort`.
    #[must_use]
    pub fn with_health_check(mut self, port: i32) -> Self {
        self.health_check_port = Some(port);
        self
    }

    /// Shared with every VPC.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// With session affinity.
    #[must_use]
    pub fn with_affinity(mut self, seconds: u32) -> Self {
        self.affinity_seconds = Some(seconds);
        self
    }
}

impl ServiceCidr {
    /// With these `spec.cidrs`.
    pub fn test<'a>(name: &str, cidrs: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            name: name.into(),
            cidrs: cidrs.into_iter().map(Name::from).collect(),
        }
    }
}

impl AddressPool {
    /// With these `spec.addresses`, created at time 0, announced by nobody.
    pub fn test<'a>(name: &str, addresses: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            name: name.into(),
            created: Timestamp(0),
            addresses: addresses.into_iter().map(Name::from).collect(),
            announcement: None,
        }
    }

    /// Announced by nodes.
    #[must_use]
    pub fn announced(mut self) -> Self {
        self.announcement.get_or_insert_default();
        self
    }

    /// Announced by nodes with that label.
    #[must_use]
    pub fn announced_by(mut self, key: &str, value: &str) -> Self {
        let announcement = self.announcement.get_or_insert_default();
        announcement.node_selector = [(key, value)].into_iter().collect();
        self
    }

    /// Announced on these devices.
    #[must_use]
    pub fn announced_on<'a>(mut self, interfaces: impl IntoIterator<Item = &'a str>) -> Self {
        let announcement = self.announcement.get_or_insert_default();
        announcement.interfaces = interfaces.into_iter().map(Name::from).collect();
        self
    }
}

impl Vpc {
    /// Created at time 0, for the namespaces with the label `vpc` of its name, with slices of /24 and /64.
    pub fn test<'a>(name: &str, cidrs: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            name: name.into(),
            created: Timestamp(0),
            deleting: false,
            namespaces: Some(
                [Requirement::In("vpc".into(), [name.into()].into())]
                    .into_iter()
                    .collect(),
            ),
            cidrs: cidrs.into_iter().map(Name::from).collect(),
            host_slice_v4: 24,
            host_slice_v6: 64,
            egress: Egress::Node,
            shared_services: true,
            peers: Box::default(),
        }
    }

    /// Naming these peers.
    #[must_use]
    pub fn with_peers<'a>(mut self, peers: impl IntoIterator<Item = &'a str>) -> Self {
        self.peers = peers.into_iter().map(Name::from).collect();
        self
    }

    /// Created at that time.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created = Timestamp(seconds);
        self
    }
}

impl NetworkPolicy {
    /// A policy for all pods of its namespace, which speaks of no direction.
    pub fn test(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            created: Timestamp(0),
            pods: Selector::default(),
            ingress: None,
            egress: None,
        }
    }

    /// For pods with that label.
    #[must_use]
    pub fn of_pods(mut self, key: &str, value: &str) -> Self {
        self.pods = Selector::of_label(key, value);
        self
    }

    /// Allowing this to come in, and nothing else.
    #[must_use]
    pub fn with_ingress(mut self, rules: impl IntoIterator<Item = PolicyRule>) -> Self {
        self.ingress = Some(rules.into_iter().collect());
        self
    }

    /// Allowing this to go out, and nothing else.
    #[must_use]
    pub fn with_egress(mut self, rules: impl IntoIterator<Item = PolicyRule>) -> Self {
        self.egress = Some(rules.into_iter().collect());
        self
    }
}

impl Selector {
    /// What has that label.
    pub fn of_label(key: &str, value: &str) -> Self {
        Self::from_iter([Requirement::In(key.into(), [value.into()].into())])
    }
}

impl EndpointSlice {
    /// An empty slice for IPv4 named `<service>-<suffix>`.
    pub fn test(namespace: &str, service: &str, suffix: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: format!("{service}-{suffix}").into(),
            service: Some(service.into()),
            address_type: AddressType::Ipv4,
            ports: Box::default(),
            endpoints: Box::default(),
            by_hand: false,
        }
    }

    /// For IPv6.
    #[must_use]
    pub fn of_ipv6(mut self) -> Self {
        self.address_type = AddressType::Ipv6;
        self
    }

    /// With a TCP port more.
    #[must_use]
    pub fn with_port(self, name: &str, port: i32) -> Self {
        self.with_port_of(Protocol::Tcp, name, port)
    }

    /// With a port more.
    #[must_use]
    pub fn with_port_of(mut self, protocol: Protocol, name: &str, port: i32) -> Self {
        let (name, port) = (name.into(), Some(port));
        let port = EndpointPort { name, protocol, port };
        self.ports = self.ports.into_iter().chain([port]).collect();
        self
    }

    /// With these ready endpoints more.
    #[must_use]
    pub fn ready<'a>(self, ips: impl IntoIterator<Item = &'a str>) -> Self {
        self.with_endpoints(EndpointState::Ready, ips)
    }

    /// With these endpoints more.
    #[must_use]
    pub fn with_endpoints<'a>(mut self, state: EndpointState, ips: impl IntoIterator<Item = &'a str>) -> Self {
        let endpoints = addresses(ips).into_iter().map(|address| Endpoint {
            address,
            state,
            node: None,
            hints: None,
        });
        self.endpoints = self.endpoints.into_iter().chain(endpoints).collect();
        self
    }

    /// With its last endpoint on a node.
    #[must_use]
    pub fn on(mut self, node: &str) -> Self {
        self.last_endpoint().node = Some(node.into());
        self
    }

    /// With its last endpoint meant for these zones and nodes.
    #[must_use]
    pub fn meant_for(mut self, zones: &[&str], nodes: &[&str]) -> Self {
        let names = |texts: &[&str]| texts.iter().map(|&text| Name::from(text)).collect();
        self.last_endpoint().hints = Some(Box::new(Hints {
            zones: names(zones),
            nodes: names(nodes),
        }));
        self
    }

    /// Written by somebody, not by the controller of slices.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.by_hand = true;
        self
    }

    fn last_endpoint(&mut self) -> &mut Endpoint {
        self.endpoints.last_mut().expect("the slice has an endpoint")
    }
}

impl Event {
    /// The object is now like this.
    pub fn apply(object: impl Into<Object>) -> Self {
        Self::Apply(object.into())
    }
}
