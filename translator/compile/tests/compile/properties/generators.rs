//! Objects, events and claims. Few names, few addresses, tiny slices: conflicts and exhaustion are the rule, not the
//! exception.

use std::net::IpAddr;

use meridian_compile::{Claim, Config};
use meridian_model::{
    ClusterPolicyKind, Egress, Event, Kind, Namespace, Node, Object, Phase, Pod, PortKey, Scope, Selector, Subnet, Vpc,
    VpcPeering,
};
use proptest::prelude::*;

use super::attachments::{definitions, further_ips, networks};
use super::policies::{cluster_policies, named_ports, pod_labels, policies};
use super::services::{address_pools, service_cidrs, services, slices};
use crate::support::config;

/// One thing a test does to the compiler.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Event(Event),
    Claim(Vec<Claim>),
    Compile,
    /// About so many units.
    Piece(usize),
}

pub(super) fn configs() -> impl Strategy<Value = Config> {
    prop_oneof![
        Just(config(&["10.0.0.0/27"], 29, 64)),
        Just(config(&["10.0.0.0/28", "10.0.0.32/29"], 29, 64)),
        Just(config(&["fd00::/123"], 24, 125)),
        Just(config(&["fd00::/124"], 24, 126)),
        Just(config(&["10.0.0.0/27", "fd00::/123"], 29, 125)),
        Just(config(&["fd00::/124", "10.0.0.0/27"], 29, 125)),
    ]
}

fn node_cidrs() -> impl Strategy<Value = Vec<&'static str>> {
    let one = prop::sample::select(vec![
        "10.0.0.0/29",
        "10.0.0.8/29",
        "10.0.0.0/28",
        "10.0.0.8/30",
        "10.0.0.32/29",
        "10.0.0.0/31",
        "192.168.0.0/24",
        "fd00::/125",
        "fd00::8/125",
        "fd00::/124",
        "nonsense",
    ]);
    prop_oneof![
        8 => Just(Vec::new()),
        2 => Just(vec!["10.0.0.0/29"]),
        2 => Just(vec!["10.0.0.0/29", "fd00::/125"]),
        6 => prop::collection::vec(one.clone(), 1),
        3 => prop::collection::vec(one, 2),
    ]
}

pub(super) fn nodes() -> impl Strategy<Value = Node> {
    let labels = (
        prop::option::weighted(0.6, prop::sample::select(vec!["east", "west", ""])),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    );
    (
        prop::sample::select(vec!["a", "b", "c", "a-router"]),
        0i64..3,
        node_cidrs(),
        labels,
        prop::bool::weighted(0.9),
    )
        .prop_map(|(name, created, cidrs, (zone, edge, excluded), ready)| {
            let mut node = Node::test(name).created_at(created).with_cidrs(cidrs);
            node.ready = ready;
            if edge {
                // Now and then one that VPCs' routers could have.
                let last = u8::try_from(created).unwrap();
                node.internal_ips = [IpAddr::from(if excluded { [100, 66, 0, last] } else { [192, 0, 2, 1] })].into();
            }
            node.labels = [
                zone.map(|zone| ("topology.kubernetes.io/zone", zone)),
                edge.then_some(("edge", "true")),
                excluded.then_some(("node.kubernetes.io/exclude-from-external-load-balancers", "")),
            ]
            .into_iter()
            .flatten()
            .collect();
            node
        })
}

pub(super) fn vpc_names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["blue", "blue", "green", "green", "red"])
}

pub(super) fn namespaces() -> impl Strategy<Value = Namespace> {
    let vpc = prop::sample::select(vec!["blue", "green", ""]);
    let subnet = prop::option::weighted(0.3, subnet_names());
    (prop::sample::select(vec!["x", "y"]), vpc, subnet).prop_map(|(name, vpc, subnet)| Namespace {
        subnet: subnet.map(Into::into),
        ..Namespace::test(name).in_vpc(vpc)
    })
}

fn subnet_names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["s", "s", "t", "t", "u"])
}

/// Mostly of small networks that are the same or overlap, of two VPCs.
pub(super) fn subnets() -> impl Strategy<Value = Subnet> {
    let cidr = prop::sample::select(vec![
        "10.4.0.0/29",
        "10.4.0.0/29",
        "10.4.0.0/30",
        "10.4.0.0/28",
        "10.4.0.8/29",
        "10.1.0.0/28",
        "10.0.0.0/16",
        "10.4.0.1/29",
        "192.0.2.0/28",
        "fd04::/125",
    ]);
    let cidrs = prop_oneof![
        12 => prop::sample::select(vec!["10.4.0.0/29", "10.4.0.0/29", "10.4.0.8/29", "10.4.0.0/30", "10.4.0.0/30"]).prop_map(|cidr| vec![cidr]),
        2 => Just(vec!["10.4.0.0/29", "fd04::/125"]),
        2 => prop::collection::vec(cidr, 0..3),
    ];
    let name = prop_oneof![12 => subnet_names(), 1 => Just("s.t")];
    let named = prop::sample::select(vec!["blue", "green"]);
    let vpc = prop_oneof![18 => named, 1 => Just("default"), 1 => Just("unheard")];
    let odd = prop::sample::select(vec![vec!["10.4.0.2"], vec!["10.9.0.1"], vec!["no"]]);
    let gateways = prop_oneof![8 => Just(vec![]), 2 => odd];
    let odd = prop::sample::select(vec![vec!["10.4.0.3-10.4.0.4"], vec!["10.9.0.1"], vec!["no"]]);
    let reserved = prop_oneof![4 => Just(vec![]), 2 => odd];
    let flags = (0i64..3, prop::bool::weighted(0.4), prop::bool::weighted(0.15));
    (name, vpc, cidrs, gateways, reserved, flags).prop_map(
        |(name, vpc, cidrs, gateways, reserved, (created, dhcp, deleting))| {
            let subnet = Subnet::test(name, vpc, cidrs).created_at(created);
            let mut subnet = subnet.with_gateways(gateways).reserving(reserved);
            if dhcp {
                subnet = subnet.with_dhcp();
            }
            subnet.deleting = deleting;
            subnet
        },
    )
}

/// What pods ask for.
fn fixed_ips() -> impl Strategy<Value = Option<&'static str>> {
    let text = prop::sample::select(vec![
        "10.4.0.3",
        "10.4.0.3",
        "10.4.0.4",
        "10.4.0.3,fd04::3",
        "fd04::3",
        "10.1.0.4",
        "10.0.0.4",
        "10.4.0.1",
        "10.4.0.2-10.4.0.6",
        "10.9.0.9",
        "no",
    ]);
    prop::option::weighted(0.2, text)
}

/// Mostly of small networks that are the same or overlap.
pub(super) fn vpcs() -> impl Strategy<Value = Vpc> {
    let cidr = prop::sample::select(vec![
        "10.1.0.0/29",
        "10.1.0.0/29",
        "10.1.0.0/28",
        "10.1.0.0/27",
        "10.0.0.0/16",
        "10.2.0.0/28",
        "10.2.0.0/29",
        "10.3.0.0/28",
        "10.4.0.0/28",
        "fd01::/124",
        "10.1.0.1/28",
        "192.0.2.0/28",
        "nonsense",
    ]);
    let cidrs = prop_oneof![
        6 => cidr.clone().prop_map(|cidr| vec![cidr]),
        4 => Just(vec!["10.1.0.0/27"]),
        2 => Just(vec!["10.1.0.0/28", "fd01::/124"]),
        1 => prop::collection::vec(cidr, 0..3),
    ];
    let name = prop_oneof![12 => vpc_names(), 1 => Just("default-x")];
    let flags = (
        0..3,
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.6),
        prop::option::weighted(0.4, subnet_names()),
        prop_oneof![8 => Just(Scope::All), 1 => Just(Scope::Pods), 1 => Just(Scope::VirtualMachines)],
    );
    (name, cidrs, 0i64..3, flags, peers(), routes()).prop_map(
        |(name, cidrs, created, (egress, shared, deleting, all, open, subnet, scope), peers, routes)| {
            let mut vpc = Vpc::test(name, cidrs).created_at(created).with_peers(peers);
            for (destination, hops) in routes {
                vpc = vpc.with_route(destination, hops);
            }
            vpc.host_slice_v4 = 29;
            vpc.host_slice_v6 = 126;
            vpc = match egress {
                0 => vpc,
                1 => vpc.by_gateways(),
                _ => Vpc {
                    egress: Egress::None,
                    ..vpc
                },
            };
            vpc.shared_services = shared;
            vpc.deleting = deleting;
            vpc.scope = scope;
            if open {
                vpc = vpc.open_to(["blue", ""]);
            }
            vpc.default_subnet = subnet.map(Into::into);
            if all {
                vpc.namespaces = Some(Selector::default());
            }
            vpc
        },
    )
}

pub(super) fn vpc_peerings() -> impl Strategy<Value = VpcPeering> {
    (vpc_names(), vpc_names(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(vpc, peer, again, deleting)| {
        let mut peering = VpcPeering::test(vpc, peer);
        if again {
            peering.name = "again".into();
        }
        peering.deleting = deleting;
        peering
    })
}

fn routes() -> impl Strategy<Value = Vec<(&'static str, Vec<&'static str>)>> {
    let destination = prop::sample::select(vec![
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/8",
        "192.168.0.0/16",
        "10.0.0.0/24",
        "what",
    ]);
    let hop = prop::sample::select(vec!["10.4.0.2", "10.4.0.3", "10.4.0.1", "fd04::2", "10.0.0.4"]);
    let route = (destination, prop::collection::vec(hop, 0..3));
    prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(route, 1..3)]
}

fn peers() -> impl Strategy<Value = Vec<&'static str>> {
    let one = prop_oneof![9 => vpc_names(), 1 => Just("default"), 1 => Just("unheard")];
    prop_oneof![
        3 => Just(Vec::new()),
        4 => Just(vec!["blue", "green", "red"]),
        3 => prop::collection::vec(one, 1..4),
    ]
}

fn pod_ips() -> impl Strategy<Value = Vec<IpAddr>> {
    // Mostly what pods of the first slice may have.
    let offset = || prop_oneof![8 => 4u8..7, 1 => 0u8..4, 1 => 0u8..20];
    let network = || prop_oneof![16 => Just(0u8), 2 => Just(1u8), 3 => Just(4u8)];
    let four = (offset(), network()).prop_map(|(n, network)| IpAddr::from([10, network, 0, n]));
    let six = offset().prop_map(|n| IpAddr::from(((0xfd00 << 112) + u128::from(n)).to_be_bytes()));
    prop_oneof![
        6 => Just(Vec::new()),
        5 => four.clone().prop_map(|ip| vec![ip]),
        3 => six.clone().prop_map(|ip| vec![ip]),
        3 => (four.clone(), six).prop_map(|(four, six)| vec![four, six]),
        1 => (four.clone(), four).prop_map(|(one, other)| vec![one, other]),
    ]
}

prop_compose! {
    pub(super) fn pods()(
        namespace in prop::sample::select(vec!["x", "y"]),
        name in prop::sample::select(vec!["p", "q", "r", "s", "t"]),
        uid in prop::sample::select(vec!["1", "1", "1", "2"]),
        created in 0i64..3,
        node in prop::option::weighted(0.9, prop::sample::select(vec!["a", "a", "a", "b", "c", "unknown"])),
        host_network in prop::bool::weighted(0.1),
        phase in prop::sample::select(vec![Phase::Pending, Phase::Running, Phase::Running, Phase::Succeeded, Phase::Failed]),
        ips in pod_ips().boxed(),
        deleting in any::<bool>(),
        networks in networks().boxed(),
        subnet in prop::option::weighted(0.2, subnet_names()),
        fixed in fixed_ips().boxed(),
        virtual_machine in prop::bool::weighted(0.15),
        labels in pod_labels().boxed(),
        ports in named_ports().boxed(),
    ) -> Pod {
        let mut pod = Pod::test(namespace, name).with_uid(&format!("{name}-{uid}")).created_at(created).in_phase(phase);
        pod.node = node.map(Into::into);
        pod.host_network = host_network;
        pod.ips = ips.into();
        pod.deleting = deleting;
        pod.labels = labels.into_iter().collect();
        pod.named_ports = ports;
        pod.networks = networks;
        pod.subnet = subnet.map(Into::into);
        pod.fixed_ips = fixed.map(Into::into);
        if virtual_machine {
            pod = pod.of_virtual_machine();
        }
        pod
    }
}

/// Any object. Boxed, as its parts are: what proptest keeps of all of them side by side is more than a stack holds.
pub(super) fn objects() -> BoxedStrategy<Object> {
    let one = prop_oneof![
        5 => nodes().prop_map(Object::from).boxed(),
        26 => pods().prop_map(Object::from).boxed(),
        6 => services().prop_map(Object::from).boxed(),
        8 => slices().prop_map(Object::from).boxed(),
        1 => service_cidrs().prop_map(Object::from).boxed(),
        1 => address_pools().prop_map(Object::from).boxed(),
        5 => namespaces().prop_map(Object::from).boxed(),
        5 => vpcs().prop_map(Object::from).boxed(),
        5 => policies().prop_map(Object::from).boxed(),
        3 => cluster_policies().prop_map(Object::from).boxed(),
        1 => definitions().prop_map(Object::from).boxed(),
        3 => subnets().prop_map(Object::from).boxed(),
        2 => vpc_peerings().prop_map(Object::from).boxed(),
    ];
    one.boxed()
}

/// Everything of a kind.
fn replace<T: Into<Object> + std::fmt::Debug + 'static>(
    kind: Kind,
    one: impl Strategy<Value = T> + 'static,
    most: usize,
) -> BoxedStrategy<Event> {
    let all = prop::collection::vec(one.prop_map(Into::into).boxed(), 0..=most);
    all.prop_map(move |all| Event::Replace(kind, all)).boxed()
}

pub(super) fn events() -> BoxedStrategy<Event> {
    let one = prop_oneof![
        36 => objects().prop_map(Event::Apply).boxed(),
        5 => objects().prop_map(|object| Event::Delete(object.key())).boxed(),
        1 => replace(Kind::Node, nodes(), 3),
        1 => replace(Kind::Pod, pods(), 8),
        1 => replace(Kind::Service, services(), 3),
        1 => replace(Kind::EndpointSlice, slices(), 5),
        1 => replace(Kind::ServiceCidr, service_cidrs(), 2),
        1 => replace(Kind::AddressPool, address_pools(), 2),
        1 => replace(Kind::Namespace, namespaces(), 2),
        1 => replace(Kind::Vpc, vpcs(), 2),
        1 => replace(Kind::NetworkAttachment, definitions(), 2),
        1 => replace(Kind::Subnet, subnets(), 3),
        1 => replace(Kind::VpcPeering, vpc_peerings(), 2),
        1 => replace(Kind::NetworkPolicy, policies(), 2),
        1 => replace(Kind::ClusterPolicy(ClusterPolicyKind::ClusterNetworkPolicy), cluster_policies(), 2),
    ];
    one.boxed()
}

/// Claims of a database that remembers what may or may not be so any more.
pub(super) fn claims() -> BoxedStrategy<Claim> {
    let slices = (nodes(), node_cidrs()).prop_map(|(node, cidrs)| Claim::Slice {
        vpc: "default".into(),
        node: node.name,
        networks: cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect(),
    });
    let of_vpcs = (
        nodes(),
        vpc_names(),
        prop::sample::select(vec!["10.1.0.0/29", "10.1.0.8/29", "10.1.0.16/28"]),
    );
    let of_vpcs = of_vpcs.prop_map(|(node, vpc, cidr)| Claim::Slice {
        vpc: vpc.into(),
        node: node.name,
        networks: [cidr.parse().unwrap()].into(),
    });
    let vpc = prop_oneof![3 => Just("default"), 1 => vpc_names()];
    let of_first = (pods(), pod_ips(), vpc).prop_map(|(pod, ips, vpc)| Claim::Pod {
        port: pod.key().into(),
        uid: pod.uid,
        vpc: vpc.into(),
        ips: ips.into(),
    });
    let interface = prop::sample::select(vec!["net1", "net1", "net2", "net9"]);
    let of_further =
        (pods(), further_ips(), vpc_names(), interface).prop_map(|(pod, ips, vpc, interface)| Claim::Pod {
            port: PortKey::further(pod.key(), interface.into()),
            uid: pod.uid,
            vpc: vpc.into(),
            ips: ips.into(),
        });
    let gateways = (nodes(), vpc_names(), prop::sample::select(vec![2u8, 2, 3, 4, 9, 0]));
    let gateways = gateways.prop_map(|(node, vpc, number)| Claim::Gateway {
        vpc: vpc.into(),
        node: node.name,
        addresses: [IpAddr::from([100, 66, 0, number])].into(),
    });
    prop_oneof![2 => slices, 1 => of_vpcs, 1 => gateways, 6 => of_first, 3 => of_further].boxed()
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        24 => events().prop_map(Step::Event),
        16 => Just(Step::Compile),
        4 => (0usize..4).prop_map(Step::Piece),
        1 => prop::collection::vec(claims(), 0..6).prop_map(Step::Claim),
    ];
    let first = prop::collection::vec(claims(), 0..6).prop_map(Step::Claim);
    let pods = prop_oneof![
        3 => pods().prop_map(|pod| Step::Event(Event::Apply(pod.into()))),
        2 => Just(Step::Compile),
    ];
    let settled = prop::option::weighted(0.4, prop::collection::vec(pods, 0..20));
    (first, settled, prop::collection::vec(step, 0..80)).prop_map(|(first, settled, steps)| {
        let mut all = vec![first];
        if let Some(pods) = settled {
            all.extend(two_vpcs_with_a_subnet());
            all.extend(pods);
        }
        all.extend(steps);
        all
    })
}

/// Whose Subnets have the same addresses, and which random steps hardly ever lead to.
fn two_vpcs_with_a_subnet() -> Vec<Step> {
    let vpc = |name: &str, subnet: &str, cidr| {
        let mut vpc = Vpc::test(name, [cidr]).with_default_subnet(subnet);
        vpc.host_slice_v4 = 29;
        Object::from(vpc)
    };
    let objects = [
        Node::test("a").into(),
        Node::test("b").into(),
        vpc("blue", "s", "10.1.0.0/27"),
        vpc("green", "t", "10.2.0.0/27"),
        Namespace::test("x").in_vpc("blue").into(),
        Namespace::test("y").in_vpc("green").into(),
        Subnet::test("s", "blue", ["10.4.0.0/29"]).into(),
        Subnet::test("t", "green", ["10.4.0.0/30"]).into(),
    ];
    objects.map(Event::Apply).map(Step::Event).into()
}
