//! Services and what belongs to them.

use std::net::IpAddr;

use meridian_model::{
    AddressPool, Endpoint, EndpointSlice, EndpointState, Hints, Name, Protocol, Service, ServiceCidr, ServicePort,
    ServiceType, Timestamp, TrafficPolicy,
};
use proptest::prelude::*;

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        20 => Just(Protocol::Tcp),
        4 => Just(Protocol::Udp),
        1 => Just(Protocol::Other("ICMP".into())),
    ]
}

/// Several of these texts.
fn some(of: &[&'static str], most: usize) -> impl Strategy<Value = Box<[Name]>> + use<> {
    let one = prop::sample::select(of.to_vec()).prop_map(Name::from);
    prop::collection::vec(one, 0..=most).prop_map(Vec::into_boxed_slice)
}

fn names() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(""), 1 => Just("http")]
}

fn namespaces() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("x"), 1 => Just("y")]
}

fn policies() -> impl Strategy<Value = TrafficPolicy> {
    prop::sample::select(vec![TrafficPolicy::Cluster, TrafficPolicy::Local])
}

prop_compose! {
    fn ports()(
        protocol in protocols(),
        name in names(),
        port in prop_oneof![6 => Just(80), 3 => Just(81), 1 => Just(0)],
        node_port in prop::option::of(prop_oneof![4 => Just(30080), 4 => Just(30081), 1 => Just(99)]),
    ) -> ServicePort {
        ServicePort { protocol, name: name.into(), port, node_port }
    }
}

prop_compose! {
    pub(super) fn services()(
        namespace in namespaces(),
        name in prop::sample::select(vec!["s", "t"]),
        created in 0i64..3,
        r#type in prop_oneof![
            3 => Just(ServiceType::ClusterIp),
            2 => Just(ServiceType::NodePort),
            3 => Just(ServiceType::LoadBalancer),
            1 => Just(ServiceType::ExternalName),
        ],
        cluster_ips in prop_oneof![
            3 => Just(vec!["10.9.0.1"]),
            3 => Just(vec!["10.9.0.2"]),
            2 => Just(vec!["10.9.0.1", "fd09::1"]),
            1 => Just(vec!["fd09::2", "10.9.0.2"]),
            1 => Just(vec!["fd09::1", "10.0.0.4"]),
            1 => prop::sample::select(vec![vec![], vec!["None"], vec!["no"], vec!["10.9.0.1", "10.9.0.1"]]),
        ],
        external_ips in prop_oneof![
            4 => Just(Box::default()),
            3 => some(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "10.9.0.1"], 2),
            1 => some(&["10.9.0.1", "10.0.0.4", "169.254.77.1", "fd6d:6572:6964:6961::1", "no"], 2),
        ],
        ingress_ips in prop_oneof![
            2 => Just(Box::default()),
            1 => some(&["192.0.2.1", "192.0.2.3", "2001:db8::1", "2001:db8::3", "10.9.0.2"], 2),
        ],
        source_ranges in prop_oneof![4 => Just(Box::default()), 1 => some(&["203.0.113.0/24", "203.0.113.1/24", "no"], 2)],
        internal_policy in policies(),
        external_policy in policies(),
        health_check_port in prop::option::weighted(0.2, prop::sample::select(vec![32000, 0])),
        ports in prop_oneof![6 => prop::collection::vec(ports(), 1), 3 => prop::collection::vec(ports(), 2), 1 => Just(vec![])],
        affinity_seconds in prop::option::weighted(0.2, prop::sample::select(vec![60, 86_400])),
        left_to_others in prop::bool::weighted(0.05),
        shared in prop::bool::weighted(0.2),
    ) -> Service {
        Service {
            namespace: namespace.into(),
            name: name.into(),
            created: Timestamp(created),
            r#type,
            cluster_ips: cluster_ips.into_iter().map(Name::from).collect(),
            external_ips, ingress_ips, source_ranges, internal_policy, external_policy,
            health_check_port,
            ports: ports.into(),
            left_to_others,
            affinity_seconds,
            shared,
        }
    }
}

/// For whom the endpoints of a slice are meant.
#[derive(Clone, Copy, Debug)]
enum Meant {
    ForAnybody,
    ForZones,
    ForNodes,
    ForBoth,
    /// Some for these, some for those, some for anybody.
    Mixed,
}

fn hints(meant: Meant) -> impl Strategy<Value = Option<Box<Hints>>> {
    let zones = || {
        prop_oneof![
            Just(vec!["east"]),
            Just(vec!["west"]),
            Just(vec!["east", "west"]),
            Just(vec!["north"])
        ]
    };
    let nodes = || {
        prop_oneof![
            Just(vec!["a"]),
            Just(vec!["b"]),
            Just(vec!["a", "c"]),
            Just(vec!["unknown"])
        ]
    };
    let (zones, nodes) = match meant {
        Meant::ForAnybody => (Just(vec![]).boxed(), Just(vec![]).boxed()),
        Meant::ForZones => (zones().boxed(), Just(vec![]).boxed()),
        Meant::ForNodes => (Just(vec![]).boxed(), nodes().boxed()),
        Meant::ForBoth => (zones().boxed(), nodes().boxed()),
        Meant::Mixed => (
            prop_oneof![zones(), Just(vec![])].boxed(),
            prop_oneof![nodes(), Just(vec![])].boxed(),
        ),
    };
    let names = |texts: Vec<&str>| texts.into_iter().map(Name::from).collect();
    (zones, nodes).prop_map(move |(zones, nodes)| {
        let hints = Hints {
            zones: names(zones),
            nodes: names(nodes),
        };
        (hints != Hints::default()).then(|| Box::new(hints))
    })
}

fn endpoints(v4: bool, meant: Meant) -> impl Strategy<Value = Vec<Endpoint>> {
    use EndpointState::{Draining, Ready, Unready};
    let offset = || prop::sample::select(vec![3u8, 4, 5, 5, 6, 12]);
    let address = if v4 {
        prop_oneof![
            32 => offset().prop_map(|n| IpAddr::from([10, 0, 0, n])),
            1 => Just(IpAddr::from([127, 0, 0, 1])),
            1 => Just(IpAddr::from([10, 9, 0, 9])),
        ]
        .boxed()
    } else {
        offset()
            .prop_map(|n| IpAddr::from(((0xfd00 << 112) + u128::from(n)).to_be_bytes()))
            .boxed()
    };
    let endpoint = (
        address,
        prop::sample::select(vec![Ready, Ready, Ready, Draining, Unready]),
        prop::option::weighted(0.9, prop::sample::select(vec!["a", "a", "b", "c", "unknown"])),
        hints(meant),
    );
    let endpoint = endpoint.prop_map(|(address, state, node, hints)| Endpoint {
        address,
        state,
        node: node.map(Name::from),
        hints,
    });
    prop::collection::vec(endpoint, 0..4)
}

pub(super) fn slices() -> impl Strategy<Value = EndpointSlice> {
    let port = || (protocols(), names(), prop::sample::select(vec![8080, 8080, 9090]));
    let meant = prop::sample::select(vec![
        Meant::ForAnybody,
        Meant::ForZones,
        Meant::ForNodes,
        Meant::ForBoth,
        Meant::Mixed,
    ]);
    let of_family = (prop::bool::weighted(0.7), meant);
    let of_family = of_family.prop_flat_map(|(v4, meant)| (Just(v4), endpoints(v4, meant)));
    (
        namespaces(),
        prop::sample::select(vec!["a", "b", "c"]),
        prop::option::weighted(0.9, prop::sample::select(vec!["s", "t"])),
        of_family,
        prop_oneof![6 => prop::collection::vec(port(), 1), 2 => prop::collection::vec(port(), 0..3)],
        prop::bool::weighted(0.2),
    )
        .prop_map(|(namespace, name, service, (v4, endpoints), ports, by_hand)| {
            let slice = EndpointSlice::test(namespace, "any", name);
            let slice = if v4 { slice } else { slice.of_ipv6() };
            let mut slice = ports.into_iter().fold(slice, |slice, (protocol, name, port)| {
                slice.with_port_of(protocol, name, port)
            });
            slice.service = service.map(Into::into);
            slice.endpoints = endpoints.into();
            slice.by_hand = by_hand;
            slice
        })
}

pub(super) fn service_cidrs() -> impl Strategy<Value = ServiceCidr> {
    let cidrs = some(
        &[
            "10.9.0.0/24",
            "10.9.0.0/16",
            "10.9.0.2/32",
            "fd09::/112",
            "10.0.0.0/24",
            "no",
        ],
        3,
    );
    (prop::sample::select(vec!["c", "d"]), cidrs).prop_map(|(name, cidrs)| ServiceCidr {
        name: name.into(),
        cidrs,
    })
}

pub(super) fn address_pools() -> impl Strategy<Value = AddressPool> {
    let addresses = some(
        &[
            "192.0.2.0/24",
            "192.0.2.1-192.0.2.2",
            "2001:db8::/64",
            "192.0.2.3",
            "no",
        ],
        2,
    );
    let names = prop::sample::select(vec!["p", "q"]);
    (names, 0i64..2, addresses, 0..4).prop_map(|(name, created, addresses, announced)| {
        let pool = AddressPool::test(name, []);
        let pool = match announced {
            0 => pool,
            1 => pool.announced(),
            2 => pool.announced_by("edge", "true"),
            _ => pool.announced_on(["eth1"]),
        };
        AddressPool {
            created: Timestamp(created),
            addresses,
            ..pool
        }
    })
}
