//! Services, as far as this host has to do with them: what is reached from beyond the cluster, and what of that is answered
//! here.
//!
//! `mod` reads what the Southbound database tells, `plan` is what follows for this node and does no I/O; nftables' rules,
//! health checks, connection tracking and explanations are made of the plan.

mod explain;
mod former;
mod frontend;
mod health;
mod http;
mod plan;
mod proxy_health;
mod stale;

pub(super) use explain::explain;
pub(super) use former::forget;
pub(super) use frontend::{At, Frontend};
pub(super) use health::HealthChecks;
pub(super) use plan::{Handling, Plan};
pub(super) use proxy_health::serve as serve_proxy_health;
pub(super) use stale::Stale;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::hosts::HostFacts;
use meridian_api::service::{ServiceFacts, ServiceFactsError};
use ovsdb::Uuid;

use super::host::Device;

/// The VPCs beside the default one that the host has a port in, and what it has of them.
pub(super) type Vpcs = BTreeMap<String, Vec<IpNetwork>>;

/// What the host has of VPCs: a slice, and pods in Subnets.
pub(super) fn vpcs(devices: &[Device]) -> Vpcs {
    let of_vpc = devices.iter().filter_map(|device| {
        let pods = device.pods.iter().map(|&pod| IpNetwork::from(pod));
        let networks = device.facts.ips.iter().copied().chain(pods).collect();
        Some((device.facts.vpc.as_ref()?.name.clone(), networks))
    });
    of_vpc.collect()
}

/// The services of the cluster that hosts have to do with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Services {
    /// Sorted by namespace and name.
    pub(super) facts: Vec<Arc<ServiceFacts>>,
    /// What is known of the cluster's hosts.
    pub(super) hosts: HostFacts,
    /// Those that cannot be read.
    pub(super) problems: Vec<String>,
}

/// What a row tells of a service, or of hosts.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) row: Uuid,
    pub(super) port: &'a str,
    pub(super) facts: Option<&'a str>,
    pub(super) hosts: Option<&'a str>,
}

/// Reads services, each only when its row has changed: the plan is looked at whenever anything about the node changes.
#[derive(Debug, Default)]
pub(super) struct Reader {
    read: BTreeMap<Uuid, Known>,
    services: Arc<Services>,
}

#[derive(Debug)]
struct Known {
    text: Option<String>,
    facts: Result<Facts, String>,
}

#[derive(Debug)]
enum Facts {
    Service(Arc<ServiceFacts>),
    Hosts(HostFacts),
}

impl Reader {
    /// The services of these rows; the same value as before if nothing changed.
    pub(super) fn read<'a>(&mut self, rows: impl Iterator<Item = Told<'a>>) -> Arc<Services> {
        let mut before = std::mem::take(&mut self.read);
        let mut changed = false;
        for told in rows {
            let known = before
                .remove(&told.row)
                .filter(|known| known.text.as_deref() == told.hosts.or(told.facts));
            changed |= known.is_none();
            let read = known.unwrap_or_else(|| Known {
                text: told.hosts.or(told.facts).map(str::to_owned),
                facts: parse(&told),
            });
            self.read.insert(told.row, read);
        }
        if changed || !before.is_empty() {
            self.services = Arc::new(self.collect());
        }
        Arc::clone(&self.services)
    }

    fn collect(&self) -> Services {
        let mut services = Services::default();
        for known in self.read.values() {
            match &known.facts {
                Ok(Facts::Service(facts)) => services.facts.push(Arc::clone(facts)),
                Ok(Facts::Hosts(hosts)) => services.hosts = hosts.clone(),
                Err(problem) => services.problems.push(problem.clone()),
            }
        }
        services
            .facts
            .sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        services.problems.sort();
        services
    }
}

fn parse(told: &Told<'_>) -> Result<Facts, String> {
    if let Some(hosts) = told.hosts {
        let facts = HostFacts::from_json(hosts);
        return facts
            .map(Facts::Hosts)
            .map_err(|error| format!("hosts of port {}: {error}", told.port));
    }
    let problem = |reason: &str| format!("service of port {}: {reason}", told.port);
    let facts = ServiceFacts::from_external_ids(|_| told.facts).map_err(|error| match error {
        // Without the value, which may be long.
        ServiceFactsError::Malformed { reason, .. } => problem(&format!("its facts cannot be read: {reason}")),
        ServiceFactsError::Missing => problem(&error.to_string()),
    })?;
    for name in [&facts.namespace, &facts.name] {
        // They become part of names in nftables.
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=63).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(problem(&format!("{name:?} is no name of Kubernetes'")));
        }
    }
    Ok(Facts::Service(Arc::new(facts)))
}

#[cfg(test)]
pub(super) mod tests {
    pub(in crate::agent) use super::plan::tests::{local, of_vpc, plan, service};
    use super::*;

    fn told<'a>(rows: &'a [(u128, &'a str)]) -> impl Iterator<Item = Told<'a>> {
        rows.iter().map(|&(row, facts)| Told {
            row: Uuid::from_u128(row),
            port: "service-port",
            facts: Some(facts),
            hosts: None,
        })
    }

    const WEB: &str = r#"{"namespace":"shop","name":"web","ports":[]}"#;
    const API: &str = r#"{"namespace":"shop","name":"api","ports":[]}"#;

    #[test]
    fn services_are_sorted_and_those_that_cannot_be_read_disturb_nobody() {
        let mut reader = Reader::default();
        let bad = r#"{"namespace":"shop","name":"a b","ports":[]}"#;
        let services = reader.read(told(&[(1, WEB), (2, "{"), (3, API), (4, bad)]));
        let names: Vec<_> = services.facts.iter().map(|facts| facts.name.as_str()).collect();
        assert_eq!(names, ["api", "web"]);
        assert_eq!(services.problems.len(), 2, "{:?}", services.problems);
        assert!(
            services.problems[0].contains("\"a b\" is no name"),
            "{:?}",
            services.problems
        );
        assert!(
            services.problems[1].contains("cannot be read"),
            "{:?}",
            services.problems
        );
    }

    #[test]
    fn what_did_not_change_is_the_same_value() {
        let mut reader = Reader::default();
        let first = reader.read(told(&[(1, WEB), (2, API)]));
        assert!(Arc::ptr_eq(&first, &reader.read(told(&[(1, WEB), (2, API)]))));
        let fewer = reader.read(told(&[(1, WEB)]));
        assert_eq!(fewer.facts.len(), 1);
        assert!(Arc::ptr_eq(&first.facts[1], &fewer.facts[0]), "it was not read again");
    }
}
