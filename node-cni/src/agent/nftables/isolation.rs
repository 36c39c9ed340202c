//! What passes between VPCs, and between a VPC and the world or the host: nothing but what is told here. What is refused is refused at
//! once, so that whoever sent it need not wait.
//!
//! The default VPC is as open as a cluster's network is used to be. Of any other, pods reach shared services, the world if the VPC
//! may, and no port of the host; what reaches them, the host has translated for a service or a port of its own. What comes to a host as the
//! gateway of VPCs comes for the world, and is kept from everything else likewise.

use meridian_api::port::PortFacts;

use super::super::host::Device;
use super::table::Table;
use super::{cluster_ips, family, names, reject};

/// A packet that no connection has a place for. To refuse it would end the connection that it is late for.
const INVALID: &str = "ct state invalid drop";

pub(super) fn add(table: &mut Table, devices: &[Device]) {
    let filter = "type filter hook forward priority filter; policy accept;";
    table.add_chain("forward", filter, forward(devices));
    if !devices.is_empty() {
        let filter = "type filter hook output priority filter; policy accept;";
        table.add_chain("from-host", filter, cluster_ips::refuse().collect());
    }
    let others = others(devices);
    if !others.is_empty() {
        let filter = "type filter hook input priority filter; policy accept;";
        table.add_chain("to-host", filter, to_host(&others));
    }
}

fn others(devices: &[Device]) -> Vec<&Device> {
    devices.iter().filter(|device| !device.is_default()).collect()
}

/// ICMPv6 is how neighbours find one another.
fn to_host(others: &[&Device]) -> Vec<String> {
    let theirs = format!("iifname {}", names(others.iter().copied()));
    let first = [
        "ct state established,related accept",
        "meta l4proto { icmp, ipv6-icmp } accept",
        INVALID,
    ];
    let first = first.map(|rule| format!("{theirs} {rule}"));
    first.into_iter().chain(reject(&theirs)).collect()
}

fn forward(devices: &[Device]) -> Vec<String> {
    let mut rules = Vec::new();
    let default: Vec<&Device> = devices.iter().filter(|device| device.is_default()).collect();
    if !devices.is_empty() {
        rules.extend(cluster_ips::refuse());
    }
    if !default.is_empty() {
        let own = names(default.iter().copied());
        let back = format!("iifname {own} oifname {own}");
        // Nothing back into the VPC it came from: what has an address of the cluster that no slice contains, or of a service
        // that nobody has, would go round between host and router. Unless the host made it that address, for a port of its own
        // or an address of a service.
        rules.push(format!("{back} ct status dnat accept"));
        rules.extend(reject(&back));
    }
    let others = others(devices);
    if !others.is_empty() {
        rules.extend(between(devices, &default, &others));
    }
    rules
}

fn between(devices: &[Device], default: &[&Device], others: &[&Device]) -> Vec<String> {
    let all = names(devices);
    let theirs = names(others.iter().copied());
    let (from, into) = (format!("iifname {theirs}"), format!("oifname {theirs}"));
    let mut rules = Vec::new();
    for what in [&from, &into] {
        rules.push(format!("{what} ct state established,related accept"));
        rules.push(format!("{what} {INVALID}"));
    }
    for device in others {
        let name = &device.name;
        rules.push(format!("iifname {name:?} oifname {name:?} ct status dnat accept"));
    }
    let may = |reach: fn(&PortFacts) -> bool| {
        let mut devices = others.iter().filter(|device| reach(&device.facts)).peekable();
        devices.peek()?;
        Some(names(devices.copied()))
    };
    if let Some(clients) = may(PortFacts::reaches_services) {
        for (family, digit) in [("ip", 4), ("ip6", 6)] {
            if !default.is_empty() {
                let default = names(default.iter().copied());
                let frontend = format!("{family} daddr . meta l4proto . th dport @shared{digit}");
                rules.push(format!("iifname {clients} oifname {default} {frontend} accept"));
            }
            // The port is right, or it had not been translated to an endpoint here.
            let translated = format!("ct status dnat ct original {family} daddr @shared-addresses{digit}");
            rules.push(format!("iifname {clients} oifname {theirs} {translated} accept"));
        }
    }
    if let Some(clients) = may(PortFacts::reaches_outside) {
        rules.extend(nowhere(others, &all));
        // A port of this host or an address from beyond, as who is beyond reaches it.
        for (family, digit) in [("ip", 4), ("ip6", 6)] {
            let translated = format!("ct status dnat ct original {family} daddr != @shared-addresses{digit}");
            rules.push(format!("iifname {clients} {translated} accept"));
        }
        rules.extend(hosts(devices, &clients, &all));
        rules.push(format!("iifname {clients} oifname != {all} accept"));
    }
    rules.extend(reject(&from));
    rules.push(format!("{into} ct status dnat accept"));
    rules.extend(reject(&into));
    rules
}

/// Addresses of a VPC that no slice has come to the host like those of the world.
fn nowhere(others: &[&Device], all: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for device in others {
        for network in device.facts.vpc.iter().flat_map(|vpc| &vpc.networks) {
            let family = family(network.is_ipv4());
            let matched = format!("iifname {:?} oifname != {all} {family} daddr {network}", device.name);
            rules.extend(reject(&matched));
        }
    }
    rules
}

/// Hosts are reached like anybody beyond the cluster reaches them, but for their own ports.
fn hosts(devices: &[Device], clients: &str, all: &str) -> Vec<String> {
    let mut rules = Vec::new();
    for (ip, digit) in [("ip", 4), ("ip6", 6)] {
        let host =
            format!("iifname {clients} oifname != {all} {ip} daddr @hosts{digit} meta l4proto {{ tcp, udp, sctp }}");
        let node_ports = devices.iter().flat_map(|device| &device.facts.node_ports);
        for node_ports in node_ports.filter(|ports| ports.address.is_ipv4() == (digit == 4)) {
            let (first, last) = (node_ports.ports.start(), node_ports.ports.end());
            rules.push(format!("{host} th dport {first}-{last} accept"));
        }
        rules.extend(reject(&host));
    }
    rules
}

#[cfg(test)]
mod tests {
    use meridian_api::port::{PortKind, VpcFacts};

    use super::super::super::services::Plan;
    use super::super::tests::{device, text};
    use super::*;

    fn rules(devices: &[Device]) -> String {
        text(devices, &Plan::default())
    }

    fn chain(rules: &str, name: &str) -> Vec<String> {
        let (_, chain) = rules.split_once(&format!("chain {name} {{\n")).unwrap();
        let chain = chain.split_once("\n  }").unwrap().0;
        chain.lines().skip(1).map(|line| line.trim().to_owned()).collect()
    }

    /// Without what is said of ClusterIPs that nobody answers.
    fn forwarded(rules: &str) -> Vec<String> {
        let mut chain = chain(rules, "forward");
        chain.retain(|rule| !rule.contains("@refused"));
        chain
    }

    fn of_vpc(name: &str, services: bool, outside: bool) -> Device {
        let mut device = device(&format!("mrm{name}"), &["10.8.0.2/24"]);
        device.facts.vpc = Some(VpcFacts {
            name: name.into(),
            services,
            outside,
            networks: vec!["10.8.0.0/16".parse().unwrap()],
        });
        device
    }

    fn default() -> [Device; 2] {
        [device("meridian0", &["10.244.1.2/24"]), device("meridian1", &[])]
    }

    #[test]
    fn nothing_is_forwarded_back_into_the_default_vpc_but_what_the_host_redirected() {
        let rules = rules(&default());
        let back = r#"iifname { "meridian0", "meridian1" } oifname { "meridian0", "meridian1" }"#;
        assert_eq!(
            forwarded(&rules),
            [
                format!("{back} ct status dnat accept"),
                format!("{back} meta l4proto tcp reject with tcp reset"),
                format!("{back} reject"),
            ]
        );
        assert!(!rules.contains("to-host"), "{rules}");
    }

    #[test]
    fn a_vpc_reaches_what_it_may_and_is_reached_by_what_the_host_translated() {
        let [management, services] = default();
        let rules = rules(&[
            management,
            services,
            of_vpc("blue", true, true),
            of_vpc("green", false, false),
        ]);
        let both = r#"{ "mrmblue", "mrmgreen" }"#;
        let outside = r#"iifname { "mrmblue" } oifname != { "meridian0", "meridian1", "mrmblue", "mrmgreen" }"#;
        let beyond = r#"oifname != { "meridian0", "meridian1", "mrmblue", "mrmgreen" }"#;
        let [nowhere_blue, nowhere_green] =
            ["mrmblue", "mrmgreen"].map(|name| format!("iifname {name:?} {beyond} ip daddr 10.8.0.0/16"));
        let host4 = format!("{outside} ip daddr @hosts4 meta l4proto {{ tcp, udp, sctp }}");
        let host6 = format!("{outside} ip6 daddr @hosts6 meta l4proto {{ tcp, udp, sctp }}");
        let expected = [
            format!("iifname {both} ct state established,related accept"),
            format!("iifname {both} ct state invalid drop"),
            format!("oifname {both} ct state established,related accept"),
            format!("oifname {both} ct state invalid drop"),
            r#"iifname "mrmblue" oifname "mrmblue" ct status dnat accept"#.to_owned(),
            r#"iifname "mrmgreen" oifname "mrmgreen" ct status dnat accept"#.to_owned(),
            r#"iifname { "mrmblue" } oifname { "meridian0", "meridian1" } ip daddr . meta l4proto . th dport @shared4 accept"#.to_owned(),
            format!(r#"iifname {{ "mrmblue" }} oifname {both} ct status dnat ct original ip daddr @shared-addresses4 accept"#),
            r#"iifname { "mrmblue" } oifname { "meridian0", "meridian1" } ip6 daddr . meta l4proto . th dport @shared6 accept"#.to_owned(),
            format!(r#"iifname {{ "mrmblue" }} oifname {both} ct status dnat ct original ip6 daddr @shared-addresses6 accept"#),
            format!("{nowhere_blue} meta l4proto tcp reject with tcp reset"),
            format!("{nowhere_blue} reject"),
            format!("{nowhere_green} meta l4proto tcp reject with tcp reset"),
            format!("{nowhere_green} reject"),
            r#"iifname { "mrmblue" } ct status dnat ct original ip daddr != @shared-addresses4 accept"#.to_owned(),
            r#"iifname { "mrmblue" } ct status dnat ct original ip6 daddr != @shared-addresses6 accept"#.to_owned(),
            format!("{host4} meta l4proto tcp reject with tcp reset"),
            format!("{host4} reject"),
            format!("{host6} meta l4proto tcp reject with tcp reset"),
            format!("{host6} reject"),
            format!("{outside} accept"),
            format!("iifname {both} meta l4proto tcp reject with tcp reset"),
            format!("iifname {both} reject"),
            format!("oifname {both} ct status dnat accept"),
            format!("oifname {both} meta l4proto tcp reject with tcp reset"),
            format!("oifname {both} reject"),
        ];
        assert_eq!(forwarded(&rules)[3..], expected, "{rules}");
    }

    #[test]
    fn what_comes_to_a_gateway_goes_to_the_world_and_to_no_vpc() {
        let [management, services] = default();
        let mut egress = device("mrm-egress", &["100.66.0.1/16"]);
        egress.facts.kind = PortKind::Egress;
        egress.facts.vpc = None;
        let rules = rules(&[management, services, of_vpc("blue", true, false), egress]);
        let forwarded = forwarded(&rules);
        let all = r#"{ "meridian0", "meridian1", "mrmblue", "mrm-egress" }"#;
        let world = format!(r#"iifname {{ "mrm-egress" }} oifname != {all} accept"#);
        let refused = r#"iifname { "mrmblue", "mrm-egress" } reject"#;
        let at = |rule: &str| {
            forwarded
                .iter()
                .position(|one| one == rule)
                .unwrap_or_else(|| panic!("{rule}: {rules}"))
        };
        assert!(at(&world) < at(refused));
        let mut shared = forwarded.iter().filter(|rule| rule.contains("@shared4 accept"));
        assert!(
            shared.all(|rule| !rule.contains("mrm-egress") || rule.contains("!= @shared")),
            "{rules}"
        );
        assert!(chain(&rules, "to-host").contains(&refused.to_owned()), "{rules}");
        assert!(rules.contains(&format!("oifname != {all} masquerade")), "{rules}");
        assert!(rules.contains("100.66.0.0/16"), "{rules}");
    }

    #[test]
    fn pods_of_another_vpc_reach_no_port_of_the_host() {
        let [management, services] = default();
        let rules = rules(&[management, services, of_vpc("blue", true, true)]);
        assert_eq!(
            chain(&rules, "to-host"),
            [
                r#"iifname { "mrmblue" } ct state established,related accept"#,
                r#"iifname { "mrmblue" } meta l4proto { icmp, ipv6-icmp } accept"#,
                r#"iifname { "mrmblue" } ct state invalid drop"#,
                r#"iifname { "mrmblue" } meta l4proto tcp reject with tcp reset"#,
                r#"iifname { "mrmblue" } reject"#,
            ]
        );
    }
}
