//! What comes for services: ports of the host, and addresses from beyond the cluster.
//!
//! What any endpoint may answer goes into the VPC under a target that the service's load balancers know. With a `Local`
//! policy, what comes from beyond goes straight to an endpoint of this node and keeps its source. What comes from pods or
//! from the host itself does not come from beyond. If a service is of another VPC than the default one and this node has
//! endpoints, one of these answers whoever connects: the VPC's own load balancers are out of a host's reach.

use std::net::SocketAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::NodePorts;

use super::super::host::Device;
use super::super::services::{At, Frontend, Handling, Plan};
use super::table::{Set, Table};
use super::{cluster_ips, endpoints, family, names, set};

pub(super) fn add(table: &mut Table, devices: &[Device], plan: &Plan, tunnel: SocketAddr) {
    // Without a port in the VPC there is nowhere to go.
    let served = !devices.is_empty();
    if served {
        add_sets(table, plan);
        cluster_ips::add_sets(table, devices, plan);
        endpoints::add(table, plan);
        add_source_ranges(table, plan);
        let restricted = "type filter hook prerouting priority dstnat - 10; policy accept;";
        table.add_chain("restricted", restricted, restricted_rules());
        table.add_chain("beyond", "", beyond_rules());
    }
    let beyond = format!("iifname != {} jump beyond", names(devices));
    let beyond = served.then_some(beyond);
    let common = common_rules(devices);
    let dstnat = "type nat hook prerouting priority dstnat; policy accept;";
    let [comes, goes] = spare(tunnel);
    let (from_others, own) = if served {
        (cluster_ips::coming(devices), cluster_ips::going().into())
    } else {
        (Vec::new(), Vec::new())
    };
    let coming = std::iter::once(comes)
        .chain(beyond)
        .chain(from_others)
        .chain(common.clone());
    table.add_chain("dstnat", dstnat, coming.collect());
    let output = "type nat hook output priority -100; policy accept;";
    table.add_chain(
        "local",
        output,
        std::iter::once(goes).chain(own).chain(common).collect(),
    );
}

/// What comes out of tunnels and goes into them is no service's. One with a node's address as external IP could otherwise take
/// the node from the network.
fn spare(tunnel: SocketAddr) -> [String; 2] {
    let (family, ip, port) = (family(tunnel.is_ipv4()), tunnel.ip(), tunnel.port());
    ["daddr", "saddr"].map(|end| format!("{family} {end} {ip} udp dport {port} accept"))
}

/// All of them are there even if they are empty, so that rules need not change with services.
fn add_sets(table: &mut Table, plan: &Plan) {
    for v4 in [true, false] {
        let (address, digit) = if v4 { ("ipv4_addr", 4) } else { ("ipv6_addr", 6) };
        let frontend = format!("type {address} . inet_proto . inet_service");
        let mut any = Set::map(format!("{frontend} : {address} . inet_service"));
        let mut any_node_ports = Set::map(format!("type inet_proto . inet_service : {address} . inet_service"));
        let verdicts = || Set::map(format!("{frontend} : verdict"));
        let node_verdicts = || Set::map("type inet_proto . inet_service : verdict");
        let (mut local, mut own) = (verdicts(), verdicts());
        let (mut node_ports, mut own_node_ports) = (node_verdicts(), node_verdicts());
        let mut restricted = Set::map(format!("{frontend} : verdict"));
        for (frontend, handling) in plan.frontends.iter().filter(|(frontend, _)| frontend.is_ipv4() == v4) {
            let key = key(frontend);
            let (any, own, local) = match frontend.at {
                At::Address(_) => (&mut any, &mut own, &mut local),
                At::Node { .. } => (&mut any_node_ports, &mut own_node_ports, &mut node_ports),
                At::Cluster(_) => continue,
            };
            if !handling.for_anybody().is_empty() {
                own.insert(key.clone(), to_endpoint(frontend, handling));
            } else if let Some(target) = handling.target {
                any.insert(key.clone(), format!("{} . {}", target.ip(), target.port()));
            }
            match handling.for_beyond() {
                None => {}
                Some([]) => local.insert(key.clone(), "drop".to_owned()),
                Some(_) => local.insert(key.clone(), to_endpoint(frontend, handling)),
            }
            if handling.restricted {
                restricted.insert(key, format!("goto {}", source_ranges(handling, v4)));
            }
        }
        table.add_set(format!("any{digit}"), any);
        table.add_set(format!("own{digit}"), own);
        table.add_set(format!("local{digit}"), local);
        table.add_set(format!("any-node-ports{digit}"), any_node_ports);
        table.add_set(format!("own-node-ports{digit}"), own_node_ports);
        table.add_set(format!("node-ports{digit}"), node_ports);
        table.add_set(format!("restricted{digit}"), restricted);
    }
    let mut health_checks = Set::plain("type inet_service");
    for port in plan.health_checks.keys() {
        health_checks.insert(port.to_string(), String::new());
    }
    table.add_set("health-checks", health_checks);
}

fn add_source_ranges(table: &mut Table, plan: &Plan) {
    for (frontend, handling) in plan.frontends.iter().filter(|(_, handling)| handling.restricted) {
        let v4 = frontend.is_ipv4();
        let ranges = disjoint(
            handling
                .service
                .source_ranges
                .iter()
                .filter(|range| range.is_ipv4() == v4),
        );
        let rule = if ranges.is_empty() {
            "drop".to_owned()
        } else {
            let ranges = set(ranges.iter().map(ToString::to_string));
            format!("{} saddr != {ranges} drop", family(v4))
        };
        table.add_chain(source_ranges(handling, v4), "", vec![rule]);
    }
}

/// Who may not connect does not, wherever the connection would go. The host itself may.
fn restricted_rules() -> Vec<String> {
    [(4, "ip"), (6, "ip6")]
        .map(|(digit, family)| {
            format!("iifname != \"lo\" ct state new {family} daddr . meta l4proto . th dport vmap @restricted{digit}")
        })
        .into()
}

fn beyond_rules() -> Vec<String> {
    let addresses = [(4, "ip"), (6, "ip6")]
        .map(|(digit, family)| format!("{family} daddr . meta l4proto . th dport vmap @local{digit}"));
    let node_ports = [true, false].map(|v4| {
        let digit = if v4 { 4 } else { 6 };
        format!("{} meta l4proto . th dport vmap @node-ports{digit}", to_the_host(v4))
    });
    addresses.into_iter().chain(node_ports).collect()
}

/// What is the same for whoever connects. Ports of the host come last: whether a service has one is known in the VPC.
fn common_rules(devices: &[Device]) -> Vec<String> {
    let mut rules = Vec::new();
    if !devices.is_empty() {
        rules.extend(
            [(4, "ip"), (6, "ip6")]
                .map(|(digit, family)| format!("{family} daddr . meta l4proto . th dport vmap @own{digit}")),
        );
        rules.extend([(4, "ip"), (6, "ip6")].map(|(digit, family)| {
            format!(
                "meta l4proto {{ tcp, udp, sctp }} dnat {family} to {family} daddr . meta l4proto . th dport map @any{digit}"
            )
        }));
        rules.push("fib daddr type local tcp dport @health-checks accept".to_owned());
        // Of services of other VPCs, whose endpoints the default VPC does not know.
        for (digit, v4) in [(4, true), (6, false)] {
            let (to_the_host, family) = (to_the_host(v4), family(v4));
            rules.push(format!(
                "{to_the_host} meta l4proto . th dport vmap @own-node-ports{digit}"
            ));
            rules.push(format!(
                "{to_the_host} meta l4proto {{ tcp, udp, sctp }} dnat {family} to meta l4proto . th dport map @any-node-ports{digit}"
            ));
        }
    }
    let node_ports = devices.iter().flat_map(|device| &device.facts.node_ports);
    rules.extend(node_ports.map(|NodePorts { ports, address }| {
        let v4 = address.is_ipv4();
        format!(
            "{} meta l4proto {{ tcp, udp, sctp }} th dport {}-{} dnat {} to {address}",
            to_the_host(v4),
            ports.start(),
            ports.end(),
            family(v4)
        )
    }));
    rules
}

/// A packet of a family to an address of the host's that others can reach.
fn to_the_host(v4: bool) -> String {
    let loopback = if v4 { "127.0.0.0/8" } else { "::1" };
    format!("{} daddr != {loopback} fib daddr type local", family(v4))
}

pub(super) fn key(frontend: &Frontend) -> String {
    let Frontend { at, protocol, port } = frontend;
    match at {
        At::Address(address) | At::Cluster(address) => format!("{address} . {protocol} . {port}"),
        At::Node { .. } => format!("{protocol} . {port}"),
    }
}

/// The verdict for what one of the endpoints here is to answer.
pub(super) fn to_endpoint(frontend: &Frontend, handling: &Handling) -> String {
    format!("goto {}", endpoints::chain(frontend, handling))
}

/// The chain of a service's source ranges.
fn source_ranges(handling: &Handling, v4: bool) -> String {
    let service = &handling.service;
    format!("sources-{}/{}/{}", service.namespace, service.name, family(v4))
}

/// The networks without those that are in others of them, which nft would refuse.
fn disjoint<'a>(networks: impl Iterator<Item = &'a IpNetwork>) -> Vec<IpNetwork> {
    let network = |range: &IpNetwork| IpNetwork::new(range.network(), range.prefix()).ok();
    let mut networks: Vec<IpNetwork> = networks.filter_map(network).collect();
    // Two networks are one in the other or have nothing in common, so what is in a larger one follows it.
    networks.sort_by_key(|network| (network.ip(), network.prefix()));
    networks.dedup_by(|network, larger| larger.contains(network.ip()));
    networks
}

#[cfg(test)]
mod tests {
    use super::super::super::services::tests::{local, of_vpc, plan, service};
    use super::super::tests::{device, text};
    use super::*;

    fn devices() -> [Device; 2] {
        [device("meridian0", &["10.244.1.2/24"]), device("meridian1", &[])]
    }

    fn rules(services: impl IntoIterator<Item = meridian_api::service::ServiceFacts>) -> String {
        text(&devices(), &plan(services))
    }

    fn assert_has(rules: &str, expected: &[&str]) {
        for text in expected {
            assert!(rules.contains(text), "{text}\n{rules}");
        }
    }

    #[test]
    fn an_address_leads_to_its_target_whoever_connects() {
        let rules = rules([service("web")]);
        assert_has(
            &rules,
            &[
                "elements = { 198.51.100.7 . tcp . 80 : 10.96.0.7 . 80 }",
                "elements = { 2001:db8:1::7 . tcp . 80 : fd00:10:96::7 . 80 }",
            ],
        );
        let rule = "dnat ip to ip daddr . meta l4proto . th dport map @any4\n";
        assert_eq!(
            rules.matches(rule).count(),
            2,
            "for others and for the host itself: {rules}"
        );
        assert!(!rules.contains("goto"), "{rules}");
    }

    #[test]
    fn what_comes_for_beyond_goes_to_endpoints_of_the_node() {
        let rules = rules([local("web", &["10.244.1.4:8080", "10.244.1.5:8080", "[fd00::5]:8080"])]);
        assert_has(
            &rules,
            &[
                "iifname != { \"meridian0\", \"meridian1\" } jump beyond\n",
                "elements = { 198.51.100.7 . tcp . 80 : goto local-shop/web/tcp/80/ip }",
                "elements = { tcp . 30080 : goto local-shop/web/tcp/80/ip6 }",
                "    numgen random mod 2 0 meta l4proto tcp dnat ip to 10.244.1.4:8080\n    meta l4proto tcp dnat ip to \
                 10.244.1.5:8080\n",
                "meta l4proto tcp dnat ip6 to [fd00::5]:8080\n",
                "elements = { 31000 }",
                // Pods and the host itself.
                "elements = { 198.51.100.7 . tcp . 80 : 10.96.0.7 . 80 }",
            ],
        );
    }

    #[test]
    fn without_an_endpoint_here_what_comes_for_beyond_is_dropped() {
        let rules = rules([local("web", &[])]);
        assert_has(
            &rules,
            &[
                "elements = { 198.51.100.7 . tcp . 80 : drop }",
                "elements = { tcp . 30080 : drop }",
            ],
        );
    }

    #[test]
    fn only_source_ranges_reach_a_restricted_address() {
        let mut service = service("web");
        for address in &mut service.addresses {
            address.restricted = true;
        }
        service.source_ranges = [
            "10.1.0.0/16",
            "10.0.0.7/8",
            "192.0.2.0/24",
            "10.1.0.0/16",
            "10.255.0.0/16",
        ]
        .map(|range| range.parse().unwrap())
        .into();
        assert_has(
            &rules([service]),
            &[
                "elements = { 198.51.100.7 . tcp . 80 : goto sources-shop/web/ip }",
                "  chain sources-shop/web/ip {\n    ip saddr != { 10.0.0.0/8, 192.0.2.0/24 } drop\n",
                "  chain sources-shop/web/ip6 {\n    drop\n",
                "iifname != \"lo\" ct state new ip daddr . meta l4proto . th dport vmap @restricted4\n",
            ],
        );
    }

    #[test]
    fn health_checks_of_local_services_are_not_ports_of_services() {
        let mut devices = devices();
        devices[1].facts.node_ports = vec!["30000-32767=169.254.77.1".parse().unwrap()];
        let rules = text(&devices, &plan([local("web", &[])]));
        let exempt = rules.find("tcp dport @health-checks accept").unwrap();
        assert!(exempt < rules.find("30000-32767").unwrap(), "{rules}");
    }

    #[test]
    fn tunnels_are_nobodys_to_take() {
        let rules = rules([local("web", &[])]);
        for (chain, spared) in [
            ("dstnat", "ip daddr 192.0.2.1 udp dport 6081 accept"),
            ("local", "ip saddr 192.0.2.1 udp dport 6081 accept"),
        ] {
            let (_, chain) = rules.split_once(&format!("chain {chain} {{\n")).unwrap();
            assert_eq!(chain.lines().nth(1).unwrap().trim(), spared, "{rules}");
        }
    }

    #[test]
    fn ports_of_the_host_lead_into_the_vpc_for_others_and_for_itself() {
        let mut device = device("meridian0", &["10.244.1.2/24"]);
        device.facts.node_ports = ["30000-32767=169.254.77.1", "30000-32767=fd6d::1"]
            .map(|ports| ports.parse().unwrap())
            .into();
        let rules = text(&[device], &Plan::default());
        for rule in [
            "ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto { tcp, udp, sctp } th dport 30000-32767 dnat ip to \
             169.254.77.1\n",
            "ip6 daddr != ::1 fib daddr type local meta l4proto { tcp, udp, sctp } th dport 30000-32767 dnat ip6 to fd6d::1\n",
        ] {
            assert_eq!(rules.matches(rule).count(), 2, "{rules}");
        }
    }

    #[test]
    fn endpoints_of_another_vpc_on_this_node_answer_whoever_connects() {
        let devices = [
            device("meridian0", &["10.244.1.2/24"]),
            device("mrmblue", &["10.8.1.2/24"]),
        ];
        let rules = text(&devices, &plan([of_vpc("web", &["10.8.1.4:8080"])]));
        let set = |name: &str| {
            let (_, set) = rules.split_once(&format!(" {name} {{\n")).unwrap();
            set.split_once("\n  }")
                .unwrap()
                .0
                .split_once("elements = ")
                .map_or("", |(_, elements)| elements)
        };
        assert_eq!(
            set("own4"),
            "{ 198.51.100.7 . tcp . 80 : goto local-shop/web/tcp/80/ip }"
        );
        assert_eq!(
            set("own-node-ports4"),
            "{ tcp . 30080 : goto local-shop/web/tcp/80/ip }"
        );
        for (name, expected) in [
            ("any4", ""),
            ("any-node-ports4", ""),
            ("local4", ""),
            ("node-ports4", ""),
        ] {
            assert_eq!(set(name), expected, "{name}");
        }
        // Of IPv6, another node has one, and the default VPC knows the way to it.
        assert_eq!(set("any6"), "{ 2001:db8:1::7 . tcp . 80 : fd00:10:96::7 . 80 }");
        assert_eq!(set("any-node-ports6"), "{ tcp . 30080 : fd00:10:96::7 . 80 }");
        assert_eq!(set("own6"), "");
    }
}
