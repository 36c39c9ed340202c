//! What this host does for a service, for people.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::plan::full_name;
use super::{At, Frontend, Handling, Plan, Services, Vpcs};

/// Tells of the service `namespace/name`; `vpcs` are those beside the default one that the host has a port in.
pub(in crate::agent) fn explain(services: &Services, node: &str, vpcs: &Vpcs, service: &str) -> String {
    let Some(facts) = services.facts.iter().find(|facts| full_name(facts) == service) else {
        let mut text = format!(
            "nothing: the Southbound database tells hosts nothing of service {service}. Either there is no such service, or it \
             has neither addresses beside its ClusterIPs nor externalTrafficPolicy Local, and is of the default VPC alone: then \
             all that it needs is done in the VPC, ports of the nodes included."
        );
        for problem in &services.problems {
            write!(text, "\n{problem}").ok();
        }
        return text;
    };
    let plan = Plan::new(services, node, vpcs);
    let policy = if facts.local.is_some() { "Local" } else { "Cluster" };
    let mut text = format!("service {service}, externalTrafficPolicy {policy}");
    if let Some(seconds) = facts.affinity_seconds {
        write!(text, ", clients stay at their endpoint for {seconds} s").ok();
    }
    if let Some(vpc) = &facts.vpc {
        let port = if vpcs.contains_key(vpc) {
            ""
        } else {
            ", in which this host has no port"
        };
        write!(text, "\nof VPC {vpc}{port}").ok();
    }
    if facts.shared {
        let addresses: Vec<_> = facts.cluster_ips.iter().map(ToString::to_string).collect();
        write!(
            text,
            "\nshared: pods of every VPC may connect to {}",
            addresses.join(" and ")
        )
        .ok();
    }
    for (frontend, handling) in &plan.frontends {
        if full_name(&handling.service) == service {
            write!(text, "\n{frontend}: {}", describe(frontend, handling)).ok();
        }
    }
    if facts.addresses.iter().any(|address| address.restricted) {
        let ranges: Vec<_> = facts.source_ranges.iter().map(ToString::to_string).collect();
        write!(text, "\nsource ranges: {}", ranges.join(", ")).ok();
    }
    let check = plan
        .health_checks
        .iter()
        .find(|(_, check)| format!("{}/{}", check.namespace, check.name) == service);
    if let Some((port, check)) = check {
        write!(
            text,
            "\nhealth check port {port}: {} ready endpoints on this node",
            check.ready
        )
        .ok();
    }
    for problem in plan
        .problems
        .iter()
        .filter(|problem| problem.starts_with(&format!("service {service}:")))
    {
        write!(text, "\nproblem: {problem}").ok();
    }
    text
}

fn describe(frontend: &Frontend, handling: &Handling) -> String {
    let other = match (frontend.at, handling.target) {
        (At::Cluster(_), _) if handling.here.is_none() => "refused, as no node has an endpoint".to_owned(),
        (At::Cluster(_), _) => "through the default VPC to a host that has endpoints".to_owned(),
        (_, Some(target)) => format!("to {target} in the VPC"),
        (At::Node { .. }, None) => "to the VPC, as any port of a node".to_owned(),
        (At::Address(_), None) => "nowhere".to_owned(),
    };
    let from_here = match handling.for_anybody() {
        [] => other,
        endpoints => format!("to {}", any_of(endpoints)),
    };
    let mut text = match handling.for_beyond().filter(|_| !matches!(frontend.at, At::Cluster(_))) {
        None => from_here,
        Some([]) => format!("from beyond dropped, as no endpoint is on this node; from here {from_here}"),
        Some(endpoints) => format!("from beyond to {}; from here {from_here}", any_of(endpoints)),
    };
    if handling.restricted {
        text.push_str("; only from the source ranges");
    }
    text
}

fn any_of(endpoints: &[SocketAddr]) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
    endpoints.join(" or ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{local, of_vpc};
    use super::*;

    #[test]
    fn a_service_is_told_with_all_that_the_host_does_for_it() {
        let mut service = local("web", &["10.244.1.4:8080"]);
        service.addresses[0].restricted = true;
        service.source_ranges = vec!["192.0.2.0/24".parse().unwrap()];
        service.affinity_seconds = Some(60);
        let services = Services {
            facts: vec![Arc::new(service)],
            problems: vec![],
            ..Services::default()
        };
        assert_eq!(
            explain(&services, "n1", &Vpcs::new(), "shop/web"),
            "service shop/web, externalTrafficPolicy Local, clients stay at their endpoint for 60 s\n\
             198.51.100.7:80/tcp: from beyond to 10.244.1.4:8080; from here to 10.96.0.7:80 in the VPC; only from the source \
             ranges\n\
             [2001:db8:1::7]:80/tcp: from beyond dropped, as no endpoint is on this node; from here to [fd00:10:96::7]:80 in \
             the VPC\n\
             port 30080/tcp of the node by IPv6: from beyond dropped, as no endpoint is on this node; from here to the VPC, as \
             any port of a node\n\
             port 30080/tcp of the node by IPv4: from beyond to 10.244.1.4:8080; from here to the VPC, as any port of a node\n\
             source ranges: 192.0.2.0/24\n\
             health check port 31000: 1 ready endpoints on this node"
        );
        let nothing = explain(&services, "n1", &Vpcs::new(), "shop/api");
        assert!(nothing.starts_with("nothing: "), "{nothing}");
    }

    #[test]
    fn of_a_service_of_another_vpc_it_is_told_who_answers() {
        let mut service = of_vpc("web", &["10.8.1.4:8080"]);
        service.addresses.clear();
        service.ports[0].node_port = None;
        service.shared = true;
        let services = Services {
            facts: vec![Arc::new(service)],
            problems: vec![],
            ..Services::default()
        };
        let told = |vpcs: &[&str]| {
            let blue = || vec!["10.8.1.2/24".parse().unwrap()];
            let vpcs = vpcs.iter().map(|&vpc| (vpc.to_owned(), blue())).collect();
            explain(&services, "n1", &vpcs, "shop/web")
        };
        assert_eq!(
            told(&["blue"]),
            "service shop/web, externalTrafficPolicy Cluster\n\
             of VPC blue\n\
             shared: pods of every VPC may connect to 10.96.0.7 and fd00:10:96::7\n\
             10.96.0.7:80/tcp: to 10.8.1.4:8080\n\
             [fd00:10:96::7]:80/tcp: through the default VPC to a host that has endpoints"
        );
        let absent = told(&[]);
        assert!(
            absent.contains("of VPC blue, in which this host has no port\n"),
            "{absent}"
        );
        assert!(absent.contains("10.96.0.7:80/tcp: through the default VPC"), "{absent}");
    }
}
