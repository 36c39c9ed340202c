//! How the host chooses one of its node's endpoints of a service, at random or, with session affinity, the one that the
//! client was at before.

use std::fmt;
use std::net::SocketAddr;

use meridian_api::service::Protocol;

use super::super::services::{Frontend, Handling, Plan};
use super::family;
use super::table::{Set, Table};

/// Clients that one endpoint remembers, at most; whoever comes beyond that is served and not remembered.
const CLIENTS: u32 = 65_536;

/// Chains that choose one of the endpoints of this node.
pub(super) fn add(table: &mut Table, plan: &Plan) {
    for (frontend, handling) in &plan.frontends {
        let endpoints = handling.here.as_deref().unwrap_or_default();
        if endpoints.is_empty() {
            continue;
        }
        let own = Own::new(frontend, handling);
        let rules = match handling.service.affinity_seconds {
            None => at_random(endpoints, |endpoint| own.translate(endpoint)),
            Some(seconds) => {
                for &endpoint in endpoints {
                    own.add_sticky(table, endpoint, seconds);
                }
                own.choose_sticky(endpoints, seconds)
            }
        };
        // A service's frontends of one port and family share it, and with it what clients are bound to.
        table.add_chain(own.chain(), "", rules);
    }
}

/// The chain that chooses among a frontend's endpoints.
pub(super) fn chain(frontend: &Frontend, handling: &Handling) -> String {
    Own::new(frontend, handling).chain()
}

/// What is a service port's own in the table, for one family.
struct Own<'a> {
    handling: &'a Handling,
    protocol: Protocol,
    v4: bool,
}

impl<'a> Own<'a> {
    fn new(frontend: &Frontend, handling: &'a Handling) -> Self {
        Self {
            handling,
            protocol: frontend.protocol,
            v4: frontend.is_ipv4(),
        }
    }

    fn chain(&self) -> String {
        format!("local-{self}/{}", family(self.v4))
    }

    fn endpoint(&self, endpoint: SocketAddr) -> String {
        format!("endpoint-{self}/{}", word(endpoint))
    }

    fn clients(&self, endpoint: SocketAddr, seconds: u32) -> String {
        format!("clients-{self}/{}/{seconds}", word(endpoint))
    }

    fn translate(&self, endpoint: SocketAddr) -> String {
        format!("meta l4proto {} dnat {} to {endpoint}", self.protocol, family(self.v4))
    }

    /// A client goes where it went before, or anywhere.
    fn choose_sticky(&self, endpoints: &[SocketAddr], seconds: u32) -> Vec<String> {
        let family = family(self.v4);
        let known = endpoints.iter().map(|&at| {
            let (clients, endpoint) = (self.clients(at, seconds), self.endpoint(at));
            format!("{family} saddr @{clients} goto {endpoint}")
        });
        let any = at_random(endpoints, |endpoint| format!("goto {}", self.endpoint(endpoint)));
        known.chain(any).collect()
    }

    /// An endpoint that remembers its clients, each from its last connection on.
    fn add_sticky(&self, table: &mut Table, endpoint: SocketAddr, seconds: u32) {
        let address = if self.v4 { "ipv4_addr" } else { "ipv6_addr" };
        let clients = self.clients(endpoint, seconds);
        let declaration = format!("type {address}; size {CLIENTS}; flags dynamic,timeout; timeout {seconds}s;");
        table.add_set(&*clients, Set::learned(declaration));
        let remember = format!("update @{clients} {{ {} saddr }}", family(self.v4));
        table.add_chain(self.endpoint(endpoint), "", vec![remember, self.translate(endpoint)]);
    }
}

impl fmt::Display for Own<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handling { service, port, .. } = self.handling;
        write!(f, "{}/{}/{}/{port}", service.namespace, service.name, self.protocol)
    }
}

/// Rules of which each ends the choice for an equal share of what comes: the first for one in so many, the next for one in
/// those that are left. The endpoints of one node are few; a map for each service would be anonymous sets, of which the
/// kernel looks through all to make one.
fn at_random(endpoints: &[SocketAddr], rule: impl Fn(SocketAddr) -> String) -> Vec<String> {
    let left = (1..=endpoints.len()).rev();
    let rules = endpoints.iter().zip(left).map(|(&endpoint, left)| match left {
        1 => rule(endpoint),
        _ => format!("numgen random mod {left} 0 {}", rule(endpoint)),
    });
    rules.collect()
}

/// An endpoint as part of a name, in which nft takes no colons.
fn word(endpoint: SocketAddr) -> String {
    format!("{}/{}", endpoint.ip().to_string().replace(':', "."), endpoint.port())
}

#[cfg(test)]
mod tests {
    use super::super::super::services::tests::{local, plan};
    use super::super::tests::{device, text};

    #[test]
    fn a_client_is_remembered_by_the_endpoint_it_went_to() {
        let mut service = local("web", &["10.244.1.4:8080", "10.244.1.5:8080"]);
        service.affinity_seconds = Some(10_800);
        let rules = text(&[device("meridian0", &["10.244.1.2/24"])], &plan([service]));
        for expected in [
            "  set clients-shop/web/tcp/80/10.244.1.4/8080/10800 {\n    type ipv4_addr; size 65536; flags \
                 dynamic,timeout; timeout 10800s;\n",
            "    ip saddr @clients-shop/web/tcp/80/10.244.1.4/8080/10800 goto endpoint-shop/web/tcp/80/10.244.1.4/8080\n",
            "    numgen random mod 2 0 goto endpoint-shop/web/tcp/80/10.244.1.4/8080\n    goto \
             endpoint-shop/web/tcp/80/10.244.1.5/8080\n",
            "    update @clients-shop/web/tcp/80/10.244.1.5/8080/10800 { ip saddr }\n    meta l4proto tcp dnat ip to \
                 10.244.1.5:8080\n",
        ] {
            assert!(rules.contains(expected), "{expected}\n{rules}");
        }
    }
}
