//! What pods send beyond their VPC leaves under the node's address, what the host sends to services leaves under an address
//! of its port, and what it translates for endpoints of another VPC than the default one has its address there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::Source;
use meridian_api::service::Protocol;

use super::super::host::Device;
use super::super::services::{At, Plan};
use super::table::{Set, Table};
use super::{family, names, set};

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

pub(super) fn add(table: &mut Table, devices: &[Device], plan: &Plan) {
    if !devices.is_empty() {
        add_kept(table, plan);
    }
    let raw = "type filter hook prerouting priority raw; policy accept;";
    table.add_chain("prerouting", raw, inbound(devices));
    let srcnat = "type nat hook postrouting priority srcnat; policy accept;";
    table.add_chain("postrouting", srcnat, outbound(devices));
    let input = "type nat hook input priority 100; policy accept;";
    table.add_chain("input", input, own(devices));
}

/// Frontends of services of other VPCs whose endpoints see the clients that come from beyond.
fn add_kept(table: &mut Table, plan: &Plan) {
    let mut addresses = [Set::plain("type ipv4_addr"), Set::plain("type ipv6_addr")];
    let mut ports = PROTOCOLS.map(|_| Set::plain("type inet_service"));
    let kept = plan.frontends.iter().filter(|(_, handling)| {
        handling.service.vpc.is_some() && handling.for_beyond().is_some_and(|here| !here.is_empty())
    });
    for (frontend, _) in kept {
        match frontend.at {
            At::Address(address) => {
                addresses[usize::from(address.is_ipv6())].insert(address.to_string(), String::new());
            }
            At::Cluster(_) => {}
            At::Node { .. } => {
                let of_protocol = PROTOCOLS
                    .iter()
                    .zip(&mut ports)
                    .find(|(protocol, _)| **protocol == frontend.protocol);
                if let Some((_, ports)) = of_protocol {
                    ports.insert(frontend.port.to_string(), String::new());
                }
            }
        }
    }
    let [v4, v6] = addresses;
    table.add_set("kept4", v4);
    table.add_set("kept6", v6);
    for (protocol, ports) in PROTOCOLS.iter().zip(ports) {
        table.add_set(format!("kept-{protocol}"), ports);
    }
}

fn inbound(devices: &[Device]) -> Vec<String> {
    if devices.is_empty() {
        return Vec::new();
    }
    // hostPort under 127.0.0.1 needs `route_localnet`, with which a pod could talk to whatever the host has there.
    vec![format!("iifname {} ip daddr 127.0.0.0/8 drop", names(devices))]
}

fn outbound(devices: &[Device]) -> Vec<String> {
    let masquerade = [true, false].into_iter().filter_map(|v4| {
        let slices: BTreeSet<String> = devices
            .iter()
            .flat_map(|device| &device.facts.ips)
            .filter(|ip| ip.is_ipv4() == v4)
            .filter_map(network_of)
            .map(|network| network.to_string())
            .collect();
        let (family, slices) = (family(v4), (!slices.is_empty()).then(|| set(slices.into_iter()))?);
        let names = names(devices);
        Some(format!(
            "{family} saddr {slices} oifname != {names} masquerade fully-random"
        ))
    });
    // A pod in a Subnet has an address of none of these.
    let from_subnets = (!devices.is_empty()).then(|| {
        let names = names(devices);
        format!("iifname {names} oifname != {names} masquerade fully-random")
    });
    // A service's endpoint may be a host. What the host sends it comes back to be forwarded, which it could not be with an
    // address of the host's own as source.
    let sources = devices
        .iter()
        .flat_map(|device| device.facts.sources.iter().map(move |source| (&device.name, source)))
        .map(|(name, Source { destination, address })| {
            let family = family(destination.is_ipv4());
            format!("oifname {name:?} {family} daddr {destination} snat {family} to {address}")
        });
    let outward = masquerade.chain(from_subnets);
    outward.chain(sources).chain(inward(devices)).collect()
}

/// Into another VPC than the default one. A client's address may be one of that VPC's, whose router would keep the answer. From
/// beyond it may not, and the slice's default route leads back to this host.
fn inward(devices: &[Device]) -> Vec<String> {
    let others: Vec<_> = devices.iter().filter(|device| !device.is_default()).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let into = format!("oifname {}", names(others));
    // What the host itself sends comes in by no device, which is none of these either.
    let beyond = format!("{into} fib saddr type != local iifname != {}", names(devices));
    let addresses = [(4, "ip"), (6, "ip6")]
        .map(|(digit, family)| format!("{beyond} ct original {family} daddr @kept{digit} accept"));
    // nft knows the port of no packet but one whose protocol it knows.
    let ports = PROTOCOLS
        .map(|protocol| format!("{beyond} meta l4proto {protocol} ct original proto-dst @kept-{protocol} accept"));
    let masquerade = format!("{into} ct status dnat masquerade fully-random");
    addresses.into_iter().chain(ports).chain([masquerade]).collect()
}

/// What the host itself is to answer for a service. A socket of UDP that listens on all addresses answers from the one that
/// leads to the client, which is that of the management port, and nobody waits for that. So the client is the host.
fn own(devices: &[Device]) -> Vec<String> {
    let sources: BTreeSet<IpAddr> = devices
        .iter()
        .flat_map(|device| &device.facts.sources)
        .map(|source| source.address)
        .collect();
    let rule = |address: IpAddr| {
        let (family, names) = (family(address.is_ipv4()), names(devices));
        format!("iifname {names} {family} saddr {address} meta l4proto udp snat {family} to {family} daddr")
    };
    sources.into_iter().map(rule).collect()
}

/// The network an address is in.
fn network_of(address: &IpNetwork) -> Option<IpNetwork> {
    let network: IpAddr = address.network();
    IpNetwork::new(network, address.prefix()).ok()
}

#[cfg(test)]
mod tests {
    use meridian_api::service::Local;

    use super::super::super::services::tests::{of_vpc, plan};
    use super::super::tests::{device, text};
    use super::*;

    fn rules(devices: &[Device]) -> String {
        text(devices, &Plan::default())
    }

    #[test]
    fn pods_of_the_node_are_masqueraded_unless_they_stay_in_their_vpc() {
        let rules = rules(&[device("meridian0", &["10.244.1.2/24", "fd00:10:244:1::2/64"])]);
        assert!(
            rules.contains(r#"ip saddr { 10.244.1.0/24 } oifname != { "meridian0" } masquerade"#),
            "{rules}"
        );
        assert!(
            rules.contains(r#"ip6 saddr { fd00:10:244:1::/64 } oifname != { "meridian0" } masquerade"#),
            "{rules}"
        );
        assert!(
            rules.contains("iifname { \"meridian0\" } oifname != { \"meridian0\" } masquerade fully-random\n"),
            "whatever its address: {rules}"
        );
    }

    #[test]
    fn what_goes_to_services_has_a_source_that_is_not_the_hosts_own() {
        let mut device = device("meridian0", &["10.244.1.2/24", "fd00:10:244:1::2/64"]);
        device.facts.sources = ["10.96.0.0/16=10.244.1.3", "fd00:10:96::/112=fd00:10:244:1::3"]
            .map(|source| source.parse().unwrap())
            .into();
        let rules = rules(&[device]);
        for rule in [
            r#"oifname "meridian0" ip daddr 10.96.0.0/16 snat ip to 10.244.1.3"#,
            r#"oifname "meridian0" ip6 daddr fd00:10:96::/112 snat ip6 to fd00:10:244:1::3"#,
        ] {
            assert!(rules.contains(rule), "{rules}");
        }
    }

    #[test]
    fn the_host_answers_datagrams_of_services_to_itself() {
        let mut device = device("meridian1", &[]);
        device.facts.sources = [
            "10.96.0.0/16=10.244.1.3",
            "169.254.77.1/32=10.244.1.3",
            "fd00:10:96::/112=fd00:10:244:1::3",
        ]
        .map(|source| source.parse().unwrap())
        .into();
        let rules = rules(&[device]);
        for rule in [
            r#"iifname { "meridian1" } ip saddr 10.244.1.3 meta l4proto udp snat ip to ip daddr"#,
            r#"iifname { "meridian1" } ip6 saddr fd00:10:244:1::3 meta l4proto udp snat ip6 to ip6 daddr"#,
        ] {
            assert_eq!(rules.matches(rule).count(), 1, "{rules}");
        }
    }

    #[test]
    fn what_is_translated_into_another_vpc_has_the_hosts_address_there() {
        let rules = rules(&[
            device("meridian0", &["10.244.1.2/24"]),
            device("mrmblue", &["10.8.1.2/24"]),
        ]);
        assert!(
            rules.contains("oifname { \"mrmblue\" } ct status dnat masquerade fully-random\n"),
            "{rules}"
        );
    }

    #[test]
    fn endpoints_of_another_vpc_see_clients_for_beyond_with_such_a_policy() {
        let mut local = of_vpc("web", &["10.8.1.4:8080"]);
        local.local = Some(Local::default());
        let mut other = of_vpc("other", &["10.8.1.5:8080"]);
        other.addresses[0].address = "198.51.100.8".parse().unwrap();
        other.cluster_ips.clear();
        other.ports[0].node_port = Some(30081);
        let devices = [
            device("meridian0", &["10.244.1.2/24"]),
            device("mrmblue", &["10.8.1.2/24"]),
        ];
        let rules = text(&devices, &plan([local, other]));
        for expected in [
            "  set kept4 {\n    type ipv4_addr\n    elements = { 198.51.100.7 }\n",
            "  set kept-tcp {\n    type inet_service\n    elements = { 30080 }\n",
            "  set kept-udp {\n    type inet_service\n  }\n",
            "ct original ip daddr @kept4 accept\n",
            "meta l4proto tcp ct original proto-dst @kept-tcp accept\n",
        ] {
            assert!(rules.contains(expected), "{expected}\n{rules}");
        }
        let beyond = r#"oifname { "mrmblue" } fib saddr type != local iifname != { "meridian0", "mrmblue" } ct original ip daddr @kept4"#;
        let masquerade = rules.find("ct status dnat masquerade").unwrap();
        assert!(rules.find(beyond).is_some_and(|at| at < masquerade), "{rules}");
    }

    #[test]
    fn no_pod_reaches_the_hosts_loopback() {
        let rules = rules(&[device("meridian0", &["10.244.1.2/24"])]);
        assert!(
            rules.contains(r#"iifname { "meridian0" } ip daddr 127.0.0.0/8 drop"#),
            "{rules}"
        );
    }
}
