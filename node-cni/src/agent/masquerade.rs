//! nftables on the host, in an own table: what pods send beyond their VPC leaves under the node's address, what the
//! host sends to services leaves under an address of its port, ports of the host that belong to services lead into the VPC,
//! and the host forwards nothing between VPCs, nor back into the one it came from.
//!
//! By the `nft` program, from standard input: the rules are text that a person can read and try. Tables of others are
//! never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use ipnetwork::IpNetwork;
use meridian_api::port::{NodePorts, Source};

use super::host::Device;

/// Why the rules are not in place.
#[derive(Debug, thiserror::Error)]
pub(super) enum MasqueradeError {
    #[error("run nft: {0}")]
    Run(#[from] std::io::Error),
    #[error("nft: {0}")]
    Refused(String),
}

/// The table, and what it looked like when it was last written.
#[derive(Debug, Default)]
pub(super) struct Masquerade {
    rules: Option<String>,
    listing: String,
}

impl Masquerade {
    /// Writes the rules if they changed, or if they are no longer what was written.
    pub(super) fn ensure(&mut self, devices: &[Device]) -> Result<(), MasqueradeError> {
        let rules = rules(devices);
        if self.rules.as_ref() == Some(&rules) && list().is_ok_and(|listing| listing == self.listing) {
            return Ok(());
        }
        let was_there = self.rules.take() == Some(rules.clone());
        // One transaction of the kernel: there is no moment without rules.
        nft(
            &["-f", "-"],
            &format!("table inet meridian\ndelete table inet meridian\n{rules}"),
        )?;
        self.listing = list()?;
        self.rules = Some(rules);
        if was_there {
            tracing::warn!("somebody changed the nftables table inet meridian; it has been put back");
        }
        Ok(())
    }
}

/// The table as text.
fn rules(devices: &[Device]) -> String {
    let names = set(devices.iter().map(|device| format!("{:?}", device.name)));
    let masquerade = |family: &str, v4: bool| {
        let slices: BTreeSet<String> = devices
            .iter()
            .flat_map(|device| &device.facts.ips)
            .filter(|ip| ip.is_ipv4() == v4)
            .filter_map(network_of)
            .map(|network| network.to_string())
            .collect();
        if slices.is_empty() {
            return String::new();
        }
        let slices = set(slices.into_iter());
        format!("    {family} saddr {slices} oifname != {names} masquerade fully-random\n")
    };
    // A service's endpoint may be a host. What the host sends it comes back to be forwarded, which it could not be with an
    // address of the host's own as source.
    let sources: String = devices
        .iter()
        .flat_map(|device| device.facts.sources.iter().map(move |source| (&device.name, source)))
        .fold(String::new(), |mut rules, (name, Source { destination, address })| {
            let family = if destination.is_ipv4() { "ip" } else { "ip6" };
            writeln!(
                rules,
                "    oifname {name:?} {family} daddr {destination} snat {family} to {address}"
            )
            .ok();
            rules
        });
    let mut forward = String::new();
    let mut vpcs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for device in devices {
        vpcs.entry(&device.vpc).or_default().push(&device.name);
    }
    for own in vpcs.values() {
        let own = set(own.iter().map(|name| format!("{name:?}")));
        // Nothing back into the VPC it came from: what has an address of the cluster that no slice contains, or of a service
        // that nobody has, would go round between host and router. Unless the host made it that address, for a port of its own.
        // Who sent it is told at once.
        writeln!(forward, "    iifname {own} oifname {own} ct status dnat accept").ok();
        writeln!(
            forward,
            "    iifname {own} oifname {own} meta l4proto tcp reject with tcp reset"
        )
        .ok();
        writeln!(forward, "    iifname {own} oifname {own} reject").ok();
    }
    if vpcs.len() > 1 {
        writeln!(forward, "    iifname {names} oifname {names} drop").ok();
    }
    let mut inbound = String::new();
    if !devices.is_empty() {
        // hostPort under 127.0.0.1 needs `route_localnet`, with which a pod could talk to whatever the host has there.
        writeln!(inbound, "    iifname {names} ip daddr 127.0.0.0/8 drop").ok();
    }
    [
        "table inet meridian {\n",
        "  chain prerouting {\n    type filter hook prerouting priority raw; policy accept;\n",
        &inbound,
        "  }\n",
        &node_ports(devices),
        "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n",
        &masquerade("ip", true),
        &masquerade("ip6", false),
        &sources,
        "  }\n",
        "  chain forward {\n    type filter hook forward priority filter; policy accept;\n",
        &forward,
        "  }\n}\n",
    ]
    .concat()
}

/// The ports of the host that belong to services: what comes for one of any of its addresses, and what it sends there
/// itself, goes to what stands for every node in the VPC. Whether a service has the port is known there.
fn node_ports(devices: &[Device]) -> String {
    let mut ports = String::new();
    for NodePorts { ports: range, address } in devices.iter().flat_map(|device| &device.facts.node_ports) {
        let (family, loopback) = if address.is_ipv4() {
            ("ip", "127.0.0.0/8")
        } else {
            ("ip6", "::1")
        };
        writeln!(
            ports,
            "    {family} daddr != {loopback} fib daddr type local meta l4proto {{ tcp, udp, sctp }} th dport {}-{} dnat \
             {family} to {address}",
            range.start(),
            range.end()
        )
        .ok();
    }
    [("dstnat", "prerouting", "dstnat"), ("local", "output", "-100")]
        .map(|(chain, hook, priority)| {
            format!("  chain {chain} {{\n    type nat hook {hook} priority {priority}; policy accept;\n{ports}  }}\n")
        })
        .concat()
}

fn set(items: impl Iterator<Item = String>) -> String {
    format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
}

/// The network an address is in.
fn network_of(address: &IpNetwork) -> Option<IpNetwork> {
    let network: IpAddr = address.network();
    IpNetwork::new(network, address.prefix()).ok()
}

fn list() -> Result<String, MasqueradeError> {
    nft(&["list", "table", "inet", "meridian"], "")
}

fn nft(arguments: &[&str], input: &str) -> Result<String, MasqueradeError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // An nft that refuses early closes its end; its message tells why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    Err(MasqueradeError::Refused(message))
}

#[cfg(test)]
mod tests {
    use meridian_api::port::{PortFacts, PortKind};

    use super::*;

    fn device(name: &str, ips: &[&str]) -> Device {
        Device {
            name: name.into(),
            vpc: if name.starts_with("meridian") { "default" } else { name }.into(),
            userspace: true,
            local_host_ports: false,
            facts: PortFacts {
                kind: PortKind::Management,
                mac: "0a:58:0a:f4:00:02".into(),
                ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
                gateways: vec![],
                routes: vec![],
                sources: vec![],
                node_ports: vec![],
                mtu: None,
                uid: None,
            },
        }
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
    fn ports_of_the_host_lead_into_the_vpc_for_others_and_for_itself() {
        let mut device = device("meridian0", &["10.244.1.2/24"]);
        device.facts.node_ports = ["30000-32767=169.254.77.1", "30000-32767=fd6d::1"]
            .map(|ports| ports.parse().unwrap())
            .into();
        let rules = rules(&[device]);
        for rule in [
            "ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto { tcp, udp, sctp } th dport 30000-32767 dnat ip to \
             169.254.77.1\n",
            "ip6 daddr != ::1 fib daddr type local meta l4proto { tcp, udp, sctp } th dport 30000-32767 dnat ip6 to fd6d::1\n",
        ] {
            assert_eq!(rules.matches(rule).count(), 2, "{rules}");
        }
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
