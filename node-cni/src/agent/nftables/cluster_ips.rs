//! ClusterIPs that hosts have to do with: those of services of other VPCs than the default one, which only hosts with endpoints of
//! their own can answer, and those of shared services, which pods of every VPC reach through their hosts.
//!
//! What a host sends to such a ClusterIP while it has no endpoint itself, the default VPC carries to a host that has, under the
//! source of the sending host's port. So does it with what its pods send, and only for shared services are pods let in.

use meridian_api::hosts::HostFacts;

use super::super::host::Device;
use super::super::services::{At, Plan};
use super::frontends::{key, to_endpoint};
use super::table::{Set, Table};
use super::{family, names};

pub(super) fn add_sets(table: &mut Table, devices: &[Device], plan: &Plan) {
    add_of_vpcs(table, devices, plan);
    for (digit, address) in [(4, "ipv4_addr"), (6, "ipv6_addr")] {
        let frontend = format!("type {address} . inet_proto . inet_service");
        let mut answered = Set::map(format!("{frontend} : verdict"));
        let mut refused = Set::plain(&*frontend);
        let mut shared = Set::plain(&*frontend);
        let mut addresses = Set::plain(format!("type {address}"));
        let of_family = |at: &At| matches!(at, At::Cluster(ip) if ip.is_ipv4() == (digit == 4));
        for (frontend, handling) in plan.frontends.iter().filter(|(frontend, _)| of_family(&frontend.at)) {
            if !handling.for_anybody().is_empty() {
                answered.insert(key(frontend), to_endpoint(frontend, handling));
            } else if handling.here.is_none() {
                refused.insert(key(frontend), String::new());
            }
        }
        for frontend in &plan.shared {
            if let At::Cluster(ip) = frontend.at
                && of_family(&frontend.at)
            {
                shared.insert(key(frontend), String::new());
                addresses.insert(ip.to_string(), String::new());
            }
        }
        table.add_set(format!("cluster-ips{digit}"), answered);
        table.add_set(format!("refused{digit}"), refused);
        table.add_set(format!("shared{digit}"), shared);
        table.add_set(format!("shared-addresses{digit}"), addresses);
        let HostFacts { addresses, sources } = &plan.hosts;
        for (name, hosts) in [("hosts", addresses), ("host-sources", sources)] {
            let mut set = Set::plain(format!("type {address}"));
            for host in hosts.iter().filter(|host| host.is_ipv4() == (digit == 4)) {
                set.insert(host.to_string(), String::new());
            }
            table.add_set(format!("{name}{digit}"), set);
        }
    }
}

/// ClusterIPs of each VPC for its own pods in Subnets. Of those that endpoints of the client's node are to answer the switch of a
/// Subnet, which is that of all nodes, has no load balancer, so that they come to the host.
fn add_of_vpcs(table: &mut Table, devices: &[Device], plan: &Plan) {
    for device in with_subnets(devices) {
        for (v4, address) in [(true, "ipv4_addr"), (false, "ipv6_addr")] {
            let mut answered = Set::map(format!("type {address} . inet_proto . inet_service : verdict"));
            for (frontend, handling) in &plan.frontends {
                let own = device.facts.vpc.as_ref().map(|vpc| &vpc.name) == handling.service.vpc.as_ref();
                let of_family = matches!(frontend.at, At::Cluster(ip) if ip.is_ipv4() == v4);
                if own && of_family && !handling.for_anybody().is_empty() {
                    answered.insert(key(frontend), to_endpoint(frontend, handling));
                }
            }
            table.add_set(of_vpc(device, v4), answered);
        }
    }
}

fn with_subnets(devices: &[Device]) -> impl Iterator<Item = &Device> {
    let others = devices.iter().filter(|device| !device.is_default());
    others.filter(|device| !device.pods.is_empty())
}

fn of_vpc(device: &Device, v4: bool) -> String {
    format!("cluster-ips{}-{}", digit(v4), device.name)
}

/// For what others send: hosts by the default VPC, pods in Subnets to services of their VPC, and whoever it is to shared services.
pub(super) fn coming(devices: &[Device]) -> Vec<String> {
    let default = names(devices.iter().filter(|device| device.is_default()));
    let of_hosts = [true, false].map(|v4| {
        let sources = format!("{} saddr @host-sources{}", family(v4), digit(v4));
        format!("iifname {default} {sources} {}", answered(v4))
    });
    let shared = [true, false].map(|v4| {
        let shared = format!("{} @shared{}", frontend(v4), digit(v4));
        format!("iifname {} {shared} {}", names(devices), answered(v4))
    });
    let of_vpcs = with_subnets(devices).flat_map(|device| {
        let rule = |v4| {
            format!(
                "iifname {:?} {} vmap @{}",
                device.name,
                frontend(v4),
                of_vpc(device, v4)
            )
        };
        [true, false].map(rule)
    });
    of_hosts.into_iter().chain(of_vpcs).chain(shared).collect()
}

/// For what the host itself sends.
pub(super) fn going() -> [String; 2] {
    [true, false].map(answered)
}

/// What nobody answers is told so at once, by whoever it was sent.
pub(super) fn refuse() -> impl Iterator<Item = String> {
    [true, false].into_iter().flat_map(|v4| {
        let refused = format!("ct state new {} @refused{}", frontend(v4), digit(v4));
        super::reject(&refused)
    })
}

fn answered(v4: bool) -> String {
    format!("{} vmap @cluster-ips{}", frontend(v4), digit(v4))
}

fn frontend(v4: bool) -> String {
    format!("{} daddr . meta l4proto . th dport", family(v4))
}

fn digit(v4: bool) -> u8 {
    if v4 { 4 } else { 6 }
}

#[cfg(test)]
mod tests {
    use meridian_api::service::ServiceFacts;

    use super::super::super::services::tests::{of_vpc, plan, service};
    use super::super::tests::{device, text};
    use super::*;

    fn devices() -> [Device; 3] {
        let [management, mut services, blue] = [
            device("meridian0", &["10.244.1.2/24", "fd00:10:244:1::2/64"]),
            device("meridian1", &["169.254.77.2/32"]),
            device("mrmblue", &["10.8.1.2/24"]),
        ];
        services.facts.sources = [
            "10.96.0.0/16=10.244.1.3",
            "169.254.77.1/32=10.244.1.3",
            "fd00:10:96::/112=fd00:10:244:1::3",
        ]
        .map(|source| source.parse().unwrap())
        .into();
        [management, services, blue]
    }

    fn rules(services: impl IntoIterator<Item = ServiceFacts>) -> String {
        text(&devices(), &plan(services))
    }

    fn set<'a>(rules: &'a str, name: &str) -> &'a str {
        let (_, set) = rules.split_once(&format!(" {name} {{\n")).unwrap();
        set.split_once("\n  }").unwrap().0
    }

    #[test]
    fn cluster_ips_lead_to_endpoints_of_this_node_for_hosts_and_for_itself() {
        let rules = rules([of_vpc("web", &["10.8.1.4:8080"])]);
        let leads = "elements = { 10.96.0.7 . tcp . 80 : goto local-shop/web/tcp/80/ip }";
        assert!(set(&rules, "cluster-ips4").contains(leads), "{rules}");
        assert!(
            !set(&rules, "cluster-ips6").contains("elements"),
            "others answer: {rules}"
        );
        for set_name in ["refused4", "refused6", "shared4"] {
            assert!(!set(&rules, set_name).contains("elements"), "{set_name} {rules}");
        }
        for rule in [
            r#"iifname { "meridian0", "meridian1" } ip saddr @host-sources4 ip daddr . meta l4proto . th dport vmap @cluster-ips4"#,
            r#"iifname { "meridian0", "meridian1" } ip6 saddr @host-sources6 ip6 daddr . meta l4proto . th dport vmap @cluster-ips6"#,
            "\n    ip daddr . meta l4proto . th dport vmap @cluster-ips4\n",
        ] {
            assert_eq!(rules.matches(rule).count(), 1, "{rule}\n{rules}");
        }
    }

    #[test]
    fn pods_are_let_in_to_shared_services_only() {
        let mut service = of_vpc("web", &["10.8.1.4:8080"]);
        service.shared = true;
        let rules = rules([service]);
        assert!(
            set(&rules, "shared4").contains("elements = { 10.96.0.7 . tcp . 80 }"),
            "{rules}"
        );
        assert!(
            set(&rules, "shared-addresses4").contains("elements = { 10.96.0.7 }"),
            "{rules}"
        );
        let rule = r#"iifname { "meridian0", "meridian1", "mrmblue" } ip daddr . meta l4proto . th dport @shared4 ip daddr . meta l4proto . th dport vmap @cluster-ips4"#;
        assert!(rules.contains(rule), "{rules}");
    }

    #[test]
    fn pods_in_subnets_use_endpoints_of_the_node_of_services_of_their_vpc_alone() {
        let [management, services, mut blue] = devices();
        let mut green = device("mrmgreen", &["10.9.1.2/24"]);
        for device in [&mut blue, &mut green] {
            device.pods = vec!["10.20.0.5".parse().unwrap()];
            device.facts.vpc.as_mut().unwrap().name = device.name.trim_start_matches("mrm").into();
        }
        let rules = text(
            &[management, services, blue, green],
            &plan([of_vpc("web", &["10.8.1.4:8080"])]),
        );
        let leads = "elements = { 10.96.0.7 . tcp . 80 : goto local-shop/web/tcp/80/ip }";
        assert!(set(&rules, "cluster-ips4-mrmblue").contains(leads), "{rules}");
        assert!(!set(&rules, "cluster-ips4-mrmgreen").contains("elements"), "{rules}");
        let rule = r#"iifname "mrmblue" ip daddr . meta l4proto . th dport vmap @cluster-ips4-mrmblue"#;
        assert!(rules.contains(rule), "{rules}");
    }

    #[test]
    fn a_cluster_ip_that_no_node_answers_is_refused() {
        let mut service = of_vpc("web", &[]);
        service.ports[0].endpoints.clear();
        let rules = rules([service]);
        assert!(
            set(&rules, "refused4").contains("elements = { 10.96.0.7 . tcp . 80 }"),
            "{rules}"
        );
        let rule = "ct state new ip daddr . meta l4proto . th dport @refused4 meta l4proto tcp reject with tcp reset\n";
        assert_eq!(rules.matches(rule).count(), 2, "for others and for the host: {rules}");
    }

    #[test]
    fn a_shared_service_of_the_default_vpc_is_not_translated() {
        let mut service = service("dns");
        service.addresses.clear();
        service.shared = true;
        service.cluster_ips = vec!["10.96.0.10".parse().unwrap()];
        let rules = rules([service]);
        assert!(set(&rules, "shared4").contains("10.96.0.10 . tcp . 80"), "{rules}");
        assert!(!set(&rules, "cluster-ips4").contains("elements"), "{rules}");
    }
}
