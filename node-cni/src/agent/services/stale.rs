//! Connection tracking where services change: UDP has no connections that end, so the host forgets those that would go on
//! to where they no longer belong. TCP connections stay until their ends close them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use meridian_api::service::{Protocol, ServiceFacts};

use super::{At, Frontend, Handling, Plan};
use crate::agent::host::Device;
use crate::netlink::{Connection, Conntrack, NetlinkError, Rtnetlink};

/// Finds connections that go where they would not go if they began now.
#[derive(Debug, Default)]
pub(in crate::agent) struct Stale {
    /// What the table of connections was last compared with; at first nothing, so that what changed while no agent ran is
    /// found, too. Of frontends those of UDP.
    judged: Option<(BTreeMap<Frontend, Handling>, Vec<Device>)>,
    /// Connections may have begun without the rules since then.
    anew: bool,
}

/// By what a connection is judged.
#[derive(Debug)]
struct Judge<'a> {
    plan: &'a Plan,
    devices: &'a [Device],
    /// Frontends that are no more.
    gone: Vec<Frontend>,
    /// The host's addresses.
    own: Vec<IpAddr>,
}

impl Stale {
    /// Forgets what does not belong to the plan, once the rules that follow from it are in place; `anew`: connections may have
    /// begun without them.
    pub(in crate::agent) fn remove(&mut self, plan: &Plan, devices: &[Device], anew: bool) -> Result<(), NetlinkError> {
        self.anew |= anew;
        let of_udp = plan.frontends.iter().filter(|(frontend, _)| is_udp(frontend));
        let of_udp: BTreeMap<_, _> = of_udp.map(|(at, handling)| (*at, handling.clone())).collect();
        // A table of hundreds of thousands is not read for a change of others.
        let beside: Vec<Device> = devices.iter().map(Device::without_pods).collect();
        let judged = |(before, known): &(BTreeMap<_, _>, Vec<Device>)| *before == of_udp && *known == beside;
        if !self.anew && self.judged.as_ref().is_some_and(judged) {
            return Ok(());
        }
        let before = self.judged.as_ref().map(|(before, _)| before);
        let gone = before.into_iter().flat_map(BTreeMap::keys);
        let gone: Vec<_> = gone
            .filter(|frontend| !of_udp.contains_key(frontend))
            .copied()
            .collect();
        if !gone.is_empty() || !of_udp.is_empty() {
            let own = Rtnetlink::open()?.addresses()?;
            let judge = Judge {
                plan,
                devices,
                gone,
                own: own.iter().map(|address| address.network.ip()).collect(),
            };
            judge.forget()?;
        }
        self.judged = Some((of_udp, beside));
        self.anew = false;
        Ok(())
    }
}

fn is_udp(frontend: &Frontend) -> bool {
    frontend.protocol == Protocol::Udp
}

impl Judge<'_> {
    fn forget(&self) -> Result<(), NetlinkError> {
        let mut conntrack = Conntrack::open()?;
        let mut forgotten = 0_usize;
        for v4 in [true, false] {
            for connection in conntrack.udp(v4)? {
                if !self.belongs(&connection) && conntrack.delete(&connection)? {
                    forgotten += 1;
                }
            }
        }
        if forgotten > 0 {
            tracing::info!(
                forgotten,
                "UDP connections of services went where they no longer belong; they begin anew"
            );
        }
        Ok(())
    }

    /// Whether a connection goes where it would go if it began now.
    fn belongs(&self, connection: &Connection) -> bool {
        let to = connection.original.destination;
        let goes = connection.reply.source;
        let address = frontend(At::Address(to.ip()), to.port());
        let cluster = frontend(At::Cluster(to.ip()), to.port());
        let node = frontend(At::Node { v4: to.is_ipv4() }, to.port());
        let node = self.own.contains(&to.ip()).then_some(node);
        let candidates = || [Some(address), Some(cluster), node].into_iter().flatten();
        let known = candidates().find_map(|frontend| Some((frontend, self.plan.frontends.get(&frontend)?)));
        match known {
            Some((frontend, handling)) => self.would_go(&frontend, handling, connection, goes),
            None => !candidates().any(|frontend| self.gone.contains(&frontend)),
        }
    }

    fn would_go(&self, frontend: &Frontend, handling: &Handling, connection: &Connection, goes: SocketAddr) -> bool {
        let (from, to) = (connection.original.source.ip(), connection.original.destination);
        if handling.restricted && !self.own.contains(&from) {
            let mut ranges = handling.service.source_ranges.iter();
            if !ranges.any(|range| range.contains(from)) {
                return false;
            }
        }
        if let At::Cluster(_) = frontend.at {
            let may = handling.service.shared || self.is_host(from) || self.is_in_subnet_of(&handling.service, from);
            return match handling.for_anybody() {
                endpoints if may && !endpoints.is_empty() => endpoints.contains(&goes),
                _ => goes == to,
            };
        }
        match handling.for_beyond() {
            Some(endpoints) if !self.is_inside(from) => endpoints.contains(&goes),
            _ => match (handling.for_anybody(), frontend.at) {
                ([], At::Address(_) | At::Cluster(_)) => handling.target.is_none_or(|target| goes == target),
                ([], At::Node { .. }) if handling.target.is_some() => handling.target == Some(goes),
                ([], At::Node { v4 }) => self
                    .devices
                    .iter()
                    .flat_map(|device| &device.facts.node_ports)
                    .filter(|ports| ports.address.is_ipv4() == v4 && ports.ports.contains(&frontend.port))
                    .all(|ports| goes == SocketAddr::new(ports.address, frontend.port)),
                (endpoints, _) => endpoints.contains(&goes),
            },
        }
    }

    /// Whether an address is this host's, or another's source for services.
    fn is_host(&self, address: IpAddr) -> bool {
        self.own.contains(&address) || self.plan.hosts.sources.contains(&address)
    }

    /// Whether an address is a pod's in a Subnet of the service's VPC.
    fn is_in_subnet_of(&self, service: &ServiceFacts, address: IpAddr) -> bool {
        let of_vpc = |device: &&Device| device.facts.vpc.as_ref().map(|vpc| &vpc.name) == service.vpc.as_ref();
        self.devices
            .iter()
            .filter(of_vpc)
            .any(|device| device.pods.contains(&address))
    }

    /// Whether an address is the host's or one of its pods'.
    fn is_inside(&self, address: IpAddr) -> bool {
        let mut slices = self.devices.iter().flat_map(|device| &device.facts.ips);
        let mut pods = self.devices.iter().flat_map(|device| &device.pods);
        self.own.contains(&address)
            || slices.any(|slice: &IpNetwork| slice.contains(address))
            || pods.any(|pod| *pod == address)
    }
}

fn frontend(at: At, port: u16) -> Frontend {
    Frontend {
        at,
        protocol: Protocol::Udp,
        port,
    }
}

#[cfg(test)]
mod tests {
    use meridian_api::port::{PortFacts, PortKind};

    use super::super::tests::{local, of_vpc, plan, service};
    use super::*;
    use crate::netlink::Tuple;

    /// A host with a pod network and a port towards services.
    fn devices() -> Vec<Device> {
        let facts = PortFacts {
            ips: vec!["10.244.1.2/24".parse().unwrap()],
            sources: vec!["10.96.0.0/16=10.244.1.3".parse().unwrap()],
            node_ports: vec!["30000-32767=169.254.77.1".parse().unwrap()],
            ..PortFacts::new(PortKind::Management, String::new())
        };
        vec![Device {
            name: "meridian0".into(),
            facts,
            userspace: true,
            local_host_ports: false,
            pods: vec!["10.20.0.5".parse().unwrap()],
        }]
    }

    fn udp(mut service: meridian_api::service::ServiceFacts) -> meridian_api::service::ServiceFacts {
        service.ports[0].protocol = Protocol::Udp;
        service
    }

    /// Whether a connection belongs that came from one address, to another, and went to a third.
    fn belongs(plan: &Plan, gone: &[&str], from: &str, to: &str, goes: &str) -> bool {
        let devices = devices();
        let [from, to, goes]: [SocketAddr; 3] = [from, to, goes].map(|at| at.parse().unwrap());
        let judge = Judge {
            plan,
            devices: &devices,
            gone: gone
                .iter()
                .map(|at| at.parse::<SocketAddr>().unwrap())
                .map(|at| frontend(At::Address(at.ip()), at.port()))
                .collect(),
            own: vec!["192.0.2.1".parse().unwrap()],
        };
        let turned = |source, destination| Tuple { source, destination };
        judge.belongs(&Connection::new(turned(from, to), turned(goes, from)))
    }

    const WORLD: &str = "192.0.2.9:4000";
    const POD: &str = "10.244.1.9:4000";
    const IN_SUBNET: &str = "10.20.0.5:4000";
    const HOST: &str = "192.0.2.1:4000";
    const VIP: &str = "198.51.100.7:80";
    const NODE: &str = "192.0.2.1:30080";
    const TARGET: &str = "10.96.0.7:80";
    const ENDPOINT: &str = "10.244.1.4:8080";

    #[test]
    fn a_connection_that_was_there_before_its_service_does_not_belong() {
        let plan = plan([udp(service("web"))]);
        assert!(!belongs(&plan, &[], WORLD, VIP, VIP));
        assert!(belongs(&plan, &[], WORLD, VIP, TARGET));
    }

    #[test]
    fn what_comes_for_beyond_belongs_to_endpoints_of_the_node_and_what_comes_from_here_to_any() {
        let plan = plan([udp(local("web", &[ENDPOINT]))]);
        for (from, to, goes, expected) in [
            (WORLD, VIP, ENDPOINT, true),
            (WORLD, VIP, "10.244.1.5:8080", false),
            (WORLD, VIP, TARGET, false),
            (POD, VIP, TARGET, true),
            (HOST, VIP, TARGET, true),
            (POD, VIP, ENDPOINT, false),
            (IN_SUBNET, VIP, TARGET, true),
            (IN_SUBNET, VIP, ENDPOINT, false),
            (WORLD, NODE, ENDPOINT, true),
            (WORLD, NODE, "169.254.77.1:30080", false),
            (POD, NODE, "169.254.77.1:30080", true),
        ] {
            assert_eq!(
                belongs(&plan, &[], from, to, goes),
                expected,
                "{from} to {to}, goes to {goes}"
            );
        }
    }

    #[test]
    fn what_goes_to_another_vpc_belongs_to_endpoints_of_the_node_if_there_are_any() {
        const THERE: &str = "10.8.1.4:8080";
        const OTHER_HOST: &str = "10.244.2.3:4000";
        let mut private = udp(of_vpc("web", &[THERE]));
        let with_hosts = |mut plan: Plan| {
            plan.hosts.sources = ["10.244.2.3".parse().unwrap()].into();
            plan
        };
        let here = with_hosts(plan([private.clone()]));
        let elsewhere = plan([udp(of_vpc("web", &[]))]);
        private.shared = true;
        let shared = plan([private]);
        for (plan, from, to, goes, expected) in [
            (&here, HOST, TARGET, THERE, true),
            (&here, HOST, TARGET, TARGET, false),
            (&here, HOST, TARGET, "10.8.1.5:8080", false),
            (&here, OTHER_HOST, TARGET, THERE, true),
            (&here, POD, TARGET, THERE, false),
            (&shared, POD, TARGET, THERE, true),
            (&elsewhere, HOST, TARGET, TARGET, true),
            (&elsewhere, HOST, TARGET, THERE, false),
            (&here, WORLD, VIP, THERE, true),
            (&here, WORLD, VIP, TARGET, false),
            (&elsewhere, WORLD, VIP, TARGET, true),
            (&here, HOST, NODE, THERE, true),
            (&elsewhere, HOST, NODE, TARGET, true),
            (&elsewhere, HOST, NODE, "169.254.77.1:30080", false),
        ] {
            let found = belongs(plan, &[], from, to, goes);
            assert_eq!(found, expected, "{from} to {to}, goes to {goes}");
        }
    }

    #[test]
    fn what_comes_from_outside_the_source_ranges_does_not_belong() {
        let mut service = udp(service("web"));
        service.addresses[0].restricted = true;
        service.source_ranges = vec!["192.0.2.8/29".parse().unwrap()];
        let plan = plan([service]);
        for (from, expected) in [(WORLD, true), ("192.0.2.99:4000", false), (POD, false), (HOST, true)] {
            assert_eq!(belongs(&plan, &[], from, VIP, TARGET), expected, "{from}");
        }
    }

    #[test]
    fn what_went_to_a_service_that_is_gone_does_not_belong_and_what_is_nobodys_is_left() {
        let plan = plan([]);
        assert!(!belongs(&plan, &[VIP], WORLD, VIP, TARGET));
        assert!(belongs(&plan, &[VIP], WORLD, "198.51.100.7:53", "198.51.100.7:53"));
        // Through the host, to another host's port of the same number.
        assert!(belongs(&plan, &[], POD, "203.0.113.1:30080", "203.0.113.1:30080"));
    }
}
