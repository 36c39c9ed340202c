//! What this host does for a service, for people.

use std::fmt::Write as _;

use super::plan::full_name;
use super::{Frontend, Handling, Plan, Services};

/// Tells of the service `namespace/name`.
pub(in crate::agent) fn explain(services: &Services, node: &str, service: &str) -> String {
    let Some(facts) = services.facts.iter().find(|facts| full_name(facts) == service) else {
        let mut text = format!(
            "nothing: the Southbound database tells hosts nothing of service {service}. Either there is no such service, or it \
             has neither addresses beside its ClusterIPs nor externalTrafficPolicy Local: then all that it needs is done in the \
             VPC, ports of the nodes included."
        );
        for problem in &services.problems {
            write!(text, "\n{problem}").ok();
        }
        return text;
    };
    let plan = Plan::new(services, node);
    let policy = if facts.local.is_some() { "Local" } else { "Cluster" };
    let mut text = format!("service {service}, externalTrafficPolicy {policy}");
    if let Some(seconds) = facts.affinity_seconds {
        write!(text, ", clients stay at their endpoint for {seconds} s").ok();
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
    let target = match (frontend.at, handling.target) {
        (super::At::Node { .. }, _) => "to the VPC, as any port of a node".to_owned(),
        (super::At::Address(_), Some(target)) => format!("to {target} in the VPC"),
        (super::At::Address(_), None) => "nowhere".to_owned(),
    };
    let mut text = match &handling.local {
        None => target,
        Some(endpoints) if endpoints.is_empty() => {
            format!("from beyond dropped, as no endpoint is on this node; from here {target}")
        }
        Some(endpoints) => {
            let endpoints: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            format!("from beyond to {}; from here {target}", endpoints.join(" or "))
        }
    };
    if handling.restricted {
        text.push_str("; only from the source ranges");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::local;
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
        };
        assert_eq!(
            explain(&services, "n1", "shop/web"),
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
        let nothing = explain(&services, "n1", "shop/api");
        assert!(nothing.starts_with("nothing: "), "{nothing}");
    }
}
