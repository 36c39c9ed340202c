//! Builders for tests: `Pod::test("shop", "web-0").on("node-a").with_ips(["10.244.0.5"])`.

use std::net::IpAddr;

use crate::{
    Action, AddressPool, AddressType, AttachmentConfig, ClusterPolicy, ClusterPolicyKey, ClusterPolicyKind,
    DefinitionKey, Dhcp, Egress, Endpoint, EndpointPort, EndpointSlice, EndpointState, Event, Hints, Labels, Name,
    NamedPort, Namespace, NetworkAttachment, NetworkPolicy, NetworkRequest, Node, Object, Phase, Pod, PodsOf,
    PolicyPort, PolicyRule, PortMatch, Protocol, Requirement, Route, Scope, Selector, Service, ServiceCidr,
    ServicePort, ServiceType, Subnet, Tier, TierPeer, TierPeers, TierRule, Timestamp, TrafficPolicy, Vpc, VpcPeering,
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
            subnet: None,
            policy_log: None,
        }
    }

    /// With a Subnet for its pods.
    #[must_use]
    pub fn in_subnet(mut self, subnet: &str) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// With a label more.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: &str) -> Self {
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.labels = labels.chain([(key.into(), value.into())]).collect();
        self
    }

    /// Logging these connections of its pods.
    #[must_use]
    pub fn logging(mut self, which: &str) -> Self {
        self.policy_log = Some(which.into());
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
            networks: None,
            subnet: None,
            fixed_ips: None,
            named_ports: Box::default(),
        }
    }

    /// With a further interface of such a definition, which it has its name from its place.
    #[must_use]
    pub fn attached(self, namespace: &str, definition: &str) -> Self {
        let number = self.networks.as_ref().map_or(0, |networks| networks.wanted.len()) + 1;
        self.attached_as(namespace, definition, &format!("net{number}"))
    }

    /// With a further interface of such a definition.
    #[must_use]
    pub fn attached_as(mut self, namespace: &str, definition: &str, interface: &str) -> Self {
        let networks = self.networks.get_or_insert_default();
        let mut wanted = std::mem::take(&mut networks.wanted).into_vec();
        wanted.push(NetworkRequest {
            entry: wanted.len() + 1,
            definition: DefinitionKey::new(namespace, definition),
            interface: interface.into(),
            ips: Box::default(),
            mac: None,
            ignored: Box::default(),
        });
        networks.wanted = wanted.into();
        self
    }

    /// With its last further interface changed.
    #[must_use]
    pub fn asking(mut self, change: impl FnOnce(&mut NetworkRequest)) -> Self {
        let networks = self.networks.as_mut();
        let wanted = networks.and_then(|networks| networks.wanted.last_mut());
        change(wanted.expect("the pod has a further interface"));
        self
    }

    /// With addresses of a further interface in its network status.
    #[must_use]
    pub fn having<'a>(mut self, interface: &str, ips: impl IntoIterator<Item = &'a str>) -> Self {
        let networks = self.networks.get_or_insert_default();
        let had = std::mem::take(&mut networks.had).into_vec();
        networks.had = had.into_iter().chain([(interface.into(), addresses(ips))]).collect();
        self
    }

    /// To be in that Subnet.
    #[must_use]
    pub fn in_subnet(mut self, subnet: &str) -> Self {
        self.subnet = Some(subnet.into());
        self
    }

    /// To have these addresses, as the annotation writes them.
    #[must_use]
    pub fn asking_for(mut self, ips: &str) -> Self {
        self.fixed_ips = Some(ips.into());
        self
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

    /// That a virtual machine of KubeVirt's runs in.
    #[must_use]
    pub fn of_virtual_machine(mut self) -> Self {
        self.labels = [("kubevirt.io", "virt-launcher")].into_iter().collect();
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

impl NetworkAttachment {
    /// A definition of interfaces in a VPC.
    pub fn test(namespace: &str, name: &str, vpc: &str) -> Self {
        Self {
            key: DefinitionKey::new(namespace, name),
            config: AttachmentConfig::Ours {
                vpc: Some(vpc.into()),
                subnet: None,
            },
        }
    }

    /// With another configuration.
    #[must_use]
    pub fn with_config(self, config: AttachmentConfig) -> Self {
        Self { config, ..self }
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
            scope: Scope::All,
            host_slice_v4: 24,
            host_slice_v6: 64,
            egress: Egress::Node,
            shared_services: true,
            peers: Box::default(),
            routes: Box::default(),
            attachments: None,
            default_subnet: None,
            dns_servers: Box::default(),
            search_domains: Box::default(),
        }
    }

    /// Open to further interfaces of pods in namespaces with one of these values of the label `vpc`.
    #[must_use]
    pub fn open_to<'a>(mut self, labels: impl IntoIterator<Item = &'a str>) -> Self {
        let labels = labels.into_iter().map(Name::from).collect();
        self.attachments = Some([Requirement::In("vpc".into(), labels)].into_iter().collect());
        self
    }

    /// With that Subnet for pods that name none.
    #[must_use]
    pub fn with_default_subnet(mut self, subnet: &str) -> Self {
        self.default_subnet = Some(subnet.into());
        self
    }

    /// With one more route.
    #[must_use]
    pub fn with_route<'a>(mut self, destination: &str, nexthops: impl IntoIterator<Item = &'a str>) -> Self {
        let route = Route {
            destination: destination.into(),
            nexthops: nexthops.into_iter().map(Name::from).collect(),
        };
        self.routes = self.routes.into_iter().chain([route]).collect();
        self
    }

    /// Leaving by the nodes that have the label `edge`.
    #[must_use]
    pub fn by_gateways(mut self) -> Self {
        let selector = [Requirement::Exists("edge".into())].into_iter().collect();
        self.egress = Egress::Gateway(selector);
        self
    }

    /// For these workloads.
    #[must_use]
    pub fn only_for(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
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

impl Subnet {
    /// Created at time 0, with the first addresses as gateways and without DHCP.
    pub fn test<'a>(name: &str, vpc: &str, cidrs: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            name: name.into(),
            created: Timestamp(0),
            deleting: false,
            vpc: vpc.into(),
            cidrs: cidrs.into_iter().map(Name::from).collect(),
            gateways: Box::default(),
            reserved: Box::default(),
            dhcp: None,
        }
    }

    /// Created at that time.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created = Timestamp(seconds);
        self
    }

    /// With these gateways.
    #[must_use]
    pub fn with_gateways<'a>(mut self, gateways: impl IntoIterator<Item = &'a str>) -> Self {
        self.gateways = gateways.into_iter().map(Name::from).collect();
        self
    }

    /// With these ranges that are given to nobody who does not ask.
    #[must_use]
    pub fn reserving<'a>(mut self, ranges: impl IntoIterator<Item = &'a str>) -> Self {
        self.reserved = ranges.into_iter().map(Name::from).collect();
        self
    }

    /// With DHCP that lends for an hour.
    #[must_use]
    pub fn with_dhcp(mut self) -> Self {
        self.dhcp = Some(Dhcp {
            lease_time: 3600,
            ..Dhcp::default()
        });
        self
    }

    /// To be deleted.
    #[must_use]
    pub fn being_deleted(mut self) -> Self {
        self.deleting = true;
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

impl PodsOf {
    /// Those with a label, in namespaces with another; empty ones are all.
    pub fn labelled(namespaces: Option<(&str, &str)>, pods: Option<(&str, &str)>) -> Self {
        let of = |label: Option<(&str, &str)>| {
            label.map_or_else(Selector::default, |(key, value)| Selector::of_label(key, value))
        };
        Self {
            namespaces: of(namespaces),
            pods: of(pods),
        }
    }
}

impl ClusterPolicy {
    /// A `ClusterNetworkPolicy` about all pods, without rules.
    pub fn test(name: &str, tier: Tier, priority: u16) -> Self {
        Self {
            key: ClusterPolicyKey {
                kind: ClusterPolicyKind::ClusterNetworkPolicy,
                name: name.into(),
            },
            created: Timestamp(0),
            tier,
            priority,
            subject: PodsOf::labelled(None, None),
            ingress: Box::default(),
            egress: Box::default(),
            log: None,
        }
    }

    /// Logging these connections.
    #[must_use]
    pub fn logging(mut self, which: &str) -> Self {
        self.log = Some(which.into());
        self
    }

    /// About these pods.
    #[must_use]
    pub fn about(mut self, pods: PodsOf) -> Self {
        self.subject = pods;
        self
    }

    /// With one more rule for what comes to them.
    #[must_use]
    pub fn on_ingress(mut self, rule: TierRule) -> Self {
        self.ingress = self.ingress.into_iter().chain([rule]).collect();
        self
    }

    /// With one more for what they send.
    #[must_use]
    pub fn on_egress(mut self, rule: TierRule) -> Self {
        self.egress = self.egress.into_iter().chain([rule]).collect();
        self
    }
}

impl TierRule {
    /// About connections with these, of whatever protocol.
    pub fn test(action: Action, peers: impl IntoIterator<Item = TierPeer>) -> Self {
        Self {
            name: None,
            action,
            peers: TierPeers::Some(peers.into_iter().collect()),
            ports: Box::default(),
            fault: None,
        }
    }

    /// Only to this port.
    #[must_use]
    pub fn to_port(mut self, protocol: Protocol, port: PortMatch) -> Self {
        self.ports = [PolicyPort { protocol, port }].into();
        self
    }
}

impl VpcPeering {
    /// Named `<vpc>-<peer>`.
    pub fn test(vpc: &str, peer: &str) -> Self {
        Self {
            name: format!("{vpc}-{peer}").into(),
            deleting: false,
            vpc: vpc.into(),
            peer: peer.into(),
        }
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
