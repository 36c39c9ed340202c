//! What pods send beyond their VPC leaves under the node's address, what the host sends to services leaves under an address
//! of its port, and the host forwards nothing between VPCs, nor back into the one it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::port::Source;

use super::super::host::Device;
use super::table::Table;
use super::{family, names, set};

pub(super) fn add(table: &mut Table, devices: &[Device]) {
    let raw = "type filter hook prerouting priority raw; policy accept;";
    table.add_chain("prerouting", raw, inbound(devices));
    let srcnat = "type nat hook postrouting priority srcnat; policy accept;";
    table.add_chain("postrouting", srcnat, outbound(devices));
    let input = "type nat hook input priority 100; policy accept;";
    table.add_chain("input", input, own(devices));
    let filter = "type filter hook forward priority filter; policy accept;";
    table.add_chain("forward", filter, forward(devices));
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
    // A service's endpoint may be a host. What the host sends it comes back to be forwarded, which it could not be with an
    // address of the host's own as source.
    let sources = devices
        .iter()
        .flat_map(|device| device.facts.sources.iter().map(move |source| (&device.name, source)))
        .map(|(name, Source { destination, address })| {
            let family = family(destination.is_ipv4());
            format!("oifname {name:?} {family} daddr {destination} snat {family} to {address}")
        });
    masquerade.chain(sources).collect()
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

fn forward(devices: &[Device]) -> Vec<String> {
    let mut rules = Vec::new();
    let mut vpcs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for device in devices {
        vpcs.entry(&device.vpc).or_default().push(&device.name);
    }
    for own in vpcs.values() {
        let own = set(own.iter().map(|name| format!("{name:?}")));
        let back = format!("iifname {own} oifname {own}");
        // Nothing back into the VPC it came from: what has an address of the cluster that no slice contains, or of a service
        // that nobody has, would go round between host and router. Unless the host made it that address, for a port of its own
        // or an address of a service. Who sent it is told at once.
        rules.push(format!("{back} ct status dnat accept"));
        rules.push(format!("{back} meta l4proto tcp reject with tcp reset"));
        rules.push(format!("{back} reject"));
    }
    if vpcs.len() > 1 {
        let names = names(devices);
        rules.push(format!("iifname {names} oifname {names} drop"));
    }
    rules
}

/// The network an address is in.
fn network_of(address: &IpNetwork) -> Option<IpNetwork> {
    let network: IpAddr = address.network();
    IpNetwork::new(network, address.prefix()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::services::Plan;
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
    fn nothing_is_forwarded_back_or_between_vpcs_but_what_the_host_redirected() {
        let back = |names: &str| {
            let through = format!("    iifname {{ {names} }} oifname {{ {names} }}");
            format!(
                "{through} ct status dnat accept\n{through} meta l4proto tcp reject with tcp reset\n{through} reject\n"
            )
        };
        let default = [device("meridian0", &["10.244.1.2/24"]), device("meridian1", &[])];
        let one = rules(&default);
        let own = r#""meridian0", "meridian1""#;
        assert!(one.contains(&back(own)) && !one.contains("} drop"), "{one}");
        let [management, services] = default;
        let two = rules(&[management, services, device("mrmblue", &["10.8.0.2/24"])]);
        let all = r#"{ "meridian0", "meridian1", "mrmblue" }"#;
        let between = format!("    iifname {all} oifname {all} drop\n");
        assert!(two.contains(&(back(own) + &back(r#""mrmblue""#) + &between)), "{two}");
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
