//! Whatever happens to a cluster, in whatever order: incremental equals full, and the delta tells all.
//!
//! `PROPTEST_CASES` sets how many sequences are tried.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use meridian_compile::{Claim, Compiler, Config, Delta, Desired, DesiredRow, LinkId, Problem, Unit};
use meridian_model::{
    Endpoint, EndpointSlice, EndpointState, Event, Key, Kind, Namespace, Node, Object, Phase, Pod, Protocol, Service,
    ServiceType,
};
use ovsdb::Uuid;
use proptest::prelude::*;

use crate::support::{LSP, config};

/// One thing a test does to the compiler.
#[derive(Clone, Debug)]
enum Step {
    Event(Event),
    Claim(Vec<Claim>),
    Compile,
    /// About so many units.
    Piece(usize),
}

// Few names, few addresses, tiny slices: conflicts and exhaustion are the rule, not the exception.

fn configs() -> impl Strategy<Value = Config> {
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

fn nodes() -> impl Strategy<Value = Node> {
    (prop::sample::select(vec!["a", "b", "c", "d"]), 0i64..3, node_cidrs())
        .prop_map(|(name, created, cidrs)| Node::test(name).created_at(created).with_cidrs(cidrs))
}

fn pod_ips() -> impl Strategy<Value = Vec<IpAddr>> {
    // Mostly what pods of the first slice may have.
    let offset = || prop_oneof![8 => 4u8..7, 1 => 0u8..4, 1 => 0u8..20];
    let four = offset().prop_map(|n| IpAddr::from([10, 0, 0, n]));
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
    fn pods()(
        namespace in prop::sample::select(vec!["x", "y"]),
        name in prop::sample::select(vec!["p", "q", "r", "s", "t"]),
        uid in prop::sample::select(vec!["1", "1", "1", "2"]),
        created in 0i64..3,
        node in prop::option::weighted(0.9, prop::sample::select(vec!["a", "a", "a", "b", "c", "unknown"])),
        host_network in prop::bool::weighted(0.1),
        phase in prop::sample::select(vec![Phase::Pending, Phase::Running, Phase::Running, Phase::Succeeded, Phase::Failed]),
        ips in pod_ips(),
        deleting in any::<bool>(),
    ) -> Pod {
        let mut pod = Pod::test(namespace, name).with_uid(&format!("{name}-{uid}")).created_at(created).in_phase(phase);
        pod.node = node.map(Into::into);
        pod.host_network = host_network;
        pod.ips = ips.into();
        pod.deleting = deleting;
        pod
    }
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        6 => Just(Protocol::Tcp),
        3 => Just(Protocol::Udp),
        1 => Just(Protocol::Other("ICMP".into())),
    ]
}

fn services() -> impl Strategy<Value = Service> {
    let ips = prop::sample::select(vec![
        "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2", "10.0.0.4", "None", "nonsense",
    ]);
    let port = (
        protocols(),
        prop::sample::select(vec!["", "http"]),
        prop::sample::select(vec![80, 80, 81, 0]),
    );
    let types = prop::sample::select(vec![
        ServiceType::ClusterIp,
        ServiceType::ClusterIp,
        ServiceType::ExternalName,
    ]);
    (
        prop::sample::select(vec!["x", "y"]),
        prop::sample::select(vec!["s", "t"]),
        types,
        prop::collection::vec(ips, 0..3),
        prop::collection::vec(port, 0..3),
        prop::option::weighted(0.2, Just(60)),
    )
        .prop_map(|(namespace, name, r#type, ips, ports, affinity_seconds)| {
            let service = Service::test(namespace, name).under(ips);
            let mut service = ports.into_iter().fold(service, |service, (protocol, name, port)| {
                service.with_port_of(protocol, name, port)
            });
            service.r#type = r#type;
            service.affinity_seconds = affinity_seconds;
            service
        })
}

fn slices() -> impl Strategy<Value = EndpointSlice> {
    use EndpointState::{Draining, Ready, Unready};
    let states = || prop::sample::select(vec![Ready, Ready, Draining, Unready]);
    let offset = || prop::sample::select(vec![3u8, 4, 5, 5, 6]);
    let four = prop_oneof![
        8 => offset().prop_map(|n| IpAddr::from([10, 0, 0, n])),
        1 => Just(IpAddr::from([127, 0, 0, 1])),
    ];
    let six = offset().prop_map(|n| IpAddr::from(((0xfd00 << 112) + u128::from(n)).to_be_bytes()));
    let endpoint = |ip| {
        (ip, states()).prop_map(|(address, state)| Endpoint {
            address,
            state,
            node: None,
            hints: None,
        })
    };
    let of_four = prop::collection::vec(endpoint(four.boxed()), 0..4).prop_map(|endpoints| (false, endpoints));
    let of_six = prop::collection::vec(endpoint(six.boxed()), 0..4).prop_map(|endpoints| (true, endpoints));
    let port = (
        protocols(),
        prop::sample::select(vec!["", "http"]),
        prop::sample::select(vec![8080, 9090]),
    );
    (
        prop::sample::select(vec!["x", "y"]),
        prop::sample::select(vec!["a", "b", "c"]),
        prop::option::weighted(0.9, prop::sample::select(vec!["s", "t"])),
        prop_oneof![2 => of_four, 1 => of_six],
        prop::collection::vec(port, 0..3),
    )
        .prop_map(|(namespace, name, service, (six, endpoints), ports)| {
            let slice = EndpointSlice::test(namespace, "any", name);
            let slice = if six { slice.of_ipv6() } else { slice };
            let mut slice = ports.into_iter().fold(slice, |slice, (protocol, name, port)| {
                slice.with_port_of(protocol, name, port)
            });
            slice.service = service.map(Into::into);
            slice.endpoints = endpoints.into();
            slice
        })
}

fn events() -> impl Strategy<Value = Event> {
    let key = prop_oneof![
        nodes().prop_map(|node| Key::Node(node.name)),
        pods().prop_map(|pod| pod.key().into()),
        services().prop_map(|service| service.key().into()),
        slices().prop_map(|slice| slice.key()),
    ];
    prop_oneof![
        4 => nodes().prop_map(Event::apply),
        18 => pods().prop_map(Event::apply),
        4 => services().prop_map(Event::apply),
        6 => slices().prop_map(Event::apply),
        1 => Just(Event::apply(Namespace::test("x"))),
        4 => key.prop_map(Event::Delete),
        1 => prop::collection::vec(nodes().prop_map(Object::from), 0..4).prop_map(|all| Event::Replace(Kind::Node, all)),
        1 => prop::collection::vec(pods().prop_map(Object::from), 0..9).prop_map(|all| Event::Replace(Kind::Pod, all)),
        1 => prop::collection::vec(services().prop_map(Object::from), 0..4)
            .prop_map(|all| Event::Replace(Kind::Service, all)),
        1 => prop::collection::vec(slices().prop_map(Object::from), 0..6)
            .prop_map(|all| Event::Replace(Kind::EndpointSlice, all)),
    ]
}

/// Claims of a database that remembers what may or may not be so any more.
fn claims() -> impl Strategy<Value = Claim> {
    let slices = (nodes(), node_cidrs()).prop_map(|(node, cidrs)| Claim::Slice {
        node: node.name,
        networks: cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect(),
    });
    let pods = (pods(), pod_ips()).prop_map(|(pod, ips)| Claim::Pod {
        pod: pod.key(),
        uid: pod.uid,
        ips: ips.into(),
    });
    prop_oneof![1 => slices, 3 => pods]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        24 => events().prop_map(Step::Event),
        16 => Just(Step::Compile),
        4 => (0usize..4).prop_map(Step::Piece),
        1 => prop::collection::vec(claims(), 0..6).prop_map(Step::Claim),
    ];
    let first = prop::collection::vec(claims(), 0..6).prop_map(Step::Claim);
    (first, prop::collection::vec(step, 0..80)).prop_map(|(first, steps)| {
        let mut all = vec![first];
        all.extend(steps);
        all
    })
}

/// What somebody knows who only ever looked at what the deltas named.
#[derive(Default)]
struct Mirror {
    rows: HashMap<(&'static str, Uuid), DesiredRow>,
    links: BTreeSet<LinkId>,
}

impl Mirror {
    fn follow(&mut self, delta: &Delta, desired: &Desired) {
        for &(table, uuid) in &delta.rows {
            match desired.row(table, uuid) {
                Some(row) => self.rows.insert((table, uuid), row.clone()),
                None => self.rows.remove(&(table, uuid)),
            };
        }
        for link in &delta.links {
            if desired.has_link(link) {
                self.links.insert(link.clone());
            } else {
                self.links.remove(link);
            }
        }
    }
}

fn all_rows(desired: &Desired) -> HashMap<(&'static str, Uuid), DesiredRow> {
    let rows = desired.tables().flat_map(|table| desired.rows(table));
    rows.map(|row| ((row.table, row.uuid), row.clone())).collect()
}

fn all_links(desired: &Desired) -> BTreeSet<LinkId> {
    let columns = desired.link_columns();
    columns
        .flat_map(|(table, parent, column)| {
            desired.links(table, parent, column).map(move |(atom, _)| LinkId {
                table,
                parent,
                column,
                value: atom.clone(),
            })
        })
        .collect()
}

fn problems(compiler: &Compiler) -> Vec<Problem> {
    compiler.problems().cloned().collect()
}

/// The same cluster and claims, compiled in one go, the objects in the order `by` gives.
fn from_scratch<K: Ord>(compiler: &Compiler, by: impl Fn(&Object) -> K) -> Compiler {
    let cluster = compiler.cluster();
    let mut objects: Vec<Object> = (cluster.nodes().map(|node| Object::from((**node).clone())))
        .chain(cluster.pods().map(|pod| (**pod).clone().into()))
        .chain(cluster.services().map(|service| (**service).clone().into()))
        .chain(cluster.endpoint_slices().map(|slice| (**slice).clone().into()))
        .collect();
    objects.sort_by_cached_key(by);
    let mut fresh = Compiler::new(compiler.config().clone());
    fresh.claim(compiler.claims());
    for object in objects {
        fresh.apply(Event::Apply(object));
    }
    fresh.compile();
    fresh
}

fn check_consistency(desired: &Desired) {
    let rows = all_rows(desired);
    let known: BTreeSet<Uuid> = rows.keys().map(|&(_, uuid)| uuid).collect();
    assert_eq!(known.len(), rows.len(), "a UUID names one row of one table");
    for link in all_links(desired) {
        assert!(
            rows.contains_key(&(link.table, link.parent)),
            "{link:?} is on a row that is not there"
        );
        let target = link.value.as_uuid().expect("every link so far is a reference");
        assert!(known.contains(&target), "{link:?} refers to a row that is not there");
    }

    let mut holders: BTreeMap<String, &str> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for row in rows.values() {
        if row.table == "Load_Balancer_Group" {
            assert_eq!(row.get("name").and_then(|name| name.as_str()), Some(&*row.key));
        } else {
            let ids = row.get("external_ids").expect("every other row has external_ids");
            assert_eq!(
                ids.get_str("meridian/owner").map(str::parse::<Unit>),
                Some(Ok(row.owner.clone()))
            );
            assert_eq!(ids.get_str("meridian/key"), Some(&*row.key));
        }
        assert!(
            keys.insert((row.table, &row.key)),
            "{} {} is there twice",
            row.table,
            row.key
        );
        assert!(row.columns.is_sorted_by(|a, b| a.0 < b.0));
        if row.table == LSP {
            let addresses = row
                .get("addresses")
                .and_then(|datum| datum.as_str())
                .unwrap_or_default();
            for ip in addresses.split(' ').skip(1) {
                let other = holders.insert(ip.to_owned(), &row.key);
                assert_eq!(other, None, "{ip} is also on {}", row.key);
            }
        }
    }
}

fn check_equal(compiler: &Compiler, other: &Compiler) {
    assert_eq!(all_rows(compiler.desired()), all_rows(other.desired()));
    assert_eq!(compiler.desired(), other.desired());
    assert_eq!(problems(compiler), problems(other));
    assert_eq!(compiler.claims(), other.claims());
}

/// A cheap stand-in for a random order that proptest can still shrink.
fn scramble(salt: u64) -> impl Fn(&Object) -> u64 {
    move |object| {
        let text = object.key().to_string();
        text.bytes().fold(salt, |hash, byte| {
            (hash ^ u64::from(byte))
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(17)
        })
    }
}

proptest! {
    #[test]
    fn incremental_equals_full(config in configs(), steps in steps(), salt in any::<u64>()) {
        let mut compiler = Compiler::new(config);
        let mut mirror = Mirror::default();
        for step in steps.into_iter().chain([Step::Compile]) {
            match step {
                Step::Event(event) => compiler.apply(event),
                Step::Claim(claims) => compiler.claim(claims),
                Step::Piece(units) => {
                    let delta = compiler.compile_piece(units);
                    mirror.follow(&delta, compiler.desired());
                }
                Step::Compile => {
                    let delta = compiler.compile();
                    prop_assert!(!compiler.is_pending());
                    mirror.follow(&delta, compiler.desired());
                    prop_assert_eq!(&mirror.rows, &all_rows(compiler.desired()));
                    prop_assert_eq!(&mirror.links, &all_links(compiler.desired()));
                    check_consistency(compiler.desired());
                    check_equal(&compiler, &from_scratch(&compiler, Object::key));
                }
            }
        }
        check_equal(&compiler, &from_scratch(&compiler, scramble(salt)));
        prop_assert!(compiler.compile().is_empty(), "nothing changed, so nothing is to be compared");
        let claims = compiler.claims();
        compiler.claim(claims);
        prop_assert!(compiler.compile().is_empty(), "what is so already can be claimed without effect");
        check_equal(&compiler, &from_scratch(&compiler, Object::key));
    }

    #[test]
    fn what_a_piece_says_is_the_last_word(
        config in configs(),
        claims in prop::collection::vec(claims(), 0..6),
        events in prop::collection::vec(events(), 0..40),
        units in 1usize..5,
    ) {
        let mut compiler = Compiler::new(config);
        compiler.claim(claims);
        for event in events {
            compiler.apply(event);
        }
        let mut said = Mirror::default();
        while compiler.is_pending() {
            let delta = compiler.compile_piece(units);
            for id in &delta.rows {
                prop_assert!(!said.rows.contains_key(id), "{id:?} is spoken of twice");
            }
            said.follow(&delta, compiler.desired());
        }
        prop_assert_eq!(&said.rows, &all_rows(compiler.desired()));
        prop_assert_eq!(&said.links, &all_links(compiler.desired()));
        check_equal(&compiler, &from_scratch(&compiler, Object::key));
    }

    #[test]
    fn without_claims_the_order_of_objects_does_not_matter(
        config in configs(),
        nodes in prop::collection::vec(nodes(), 0..5),
        pods in prop::collection::vec(pods(), 0..12),
        services in prop::collection::vec(services(), 0..4),
        slices in prop::collection::vec(slices(), 0..6),
        salt in any::<u64>(),
    ) {
        let objects: BTreeMap<Key, Object> = nodes.into_iter().map(Object::from).chain(pods.into_iter().map(Object::from))
            .chain(services.into_iter().map(Object::from)).chain(slices.into_iter().map(Object::from))
            .map(|object| (object.key(), object)).collect();
        let compile = |objects: Vec<Object>| {
            let mut compiler = Compiler::new(config.clone());
            for object in objects {
                compiler.apply(Event::Apply(object));
            }
            compiler.compile();
            compiler
        };
        let mut shuffled: Vec<Object> = objects.values().cloned().collect();
        shuffled.sort_by_cached_key(scramble(salt));
        check_equal(&compile(objects.into_values().collect()), &compile(shuffled));
    }
}

#[test]
fn the_generator_reaches_the_cases_that_matter() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let telling = [
        ("older and keeps it: delete", "two pods with one address"),
        ("older and keeps it: give", "two nodes with one CIDR"),
        ("no free address", "an exhausted slice"),
        ("no free slice", "exhausted cluster CIDRs"),
        ("has no slice", "a pod on a node without a slice"),
        ("does not exist", "a pod on an unknown node"),
        ("is not in its node's slice", "an address from elsewhere"),
        ("is reserved in", "an address that is reserved"),
        ("is not a network", "a CIDR that does not parse"),
        ("has no room for a gateway", "a CIDR that is too small"),
        ("is not in the cluster CIDRs", "a CIDR from elsewhere"),
        ("has no address", "a service without an address"),
        ("is in the cluster CIDR", "a service under a pod's address"),
        ("is also that of spec.ports[0]", "a service with one port twice"),
        ("is a loopback address", "an endpoint that cannot be reached"),
        ("is none of TCP", "a protocol nobody balances"),
    ];
    for _ in 0..400 {
        let config = configs().new_tree(&mut runner).unwrap().current();
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let mut compiler = Compiler::new(config);
        for step in steps {
            match step {
                Step::Event(event) => compiler.apply(event),
                Step::Claim(claims) => compiler.claim(claims),
                Step::Compile => drop(compiler.compile()),
                Step::Piece(units) => drop(compiler.compile_piece(units)),
            }
            let problems = problems(&compiler);
            let found = telling
                .iter()
                .filter(|(text, _)| problems.iter().any(|problem| problem.message.contains(text)));
            seen.extend(found.map(|&(_, case)| case));
        }
    }
    let missed: Vec<&str> = telling
        .iter()
        .map(|&(_, case)| case)
        .filter(|case| !seen.contains(case))
        .collect();
    assert!(missed.is_empty(), "never generated: {missed:?}");
}
