//! Whether a VPC can be used, and if not, why.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Key, Name, Timestamp, Vpc};

use super::subnets::is_domain;
use super::{Network, State, name_fault};
use crate::service_cidrs::ServiceCidrs;
use crate::{Config, ip};

const CIDRS: &str = "spec.podNetwork.cidrs";

/// What everything is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub(super) config: &'a Config,
    pub(super) service_cidrs: &'a ServiceCidrs,
    pub(super) cluster: &'a Cluster,
}

pub(super) fn all(ground: &Ground<'_>) -> BTreeMap<Name, State> {
    let state = |vpc: &std::sync::Arc<Vpc>| {
        let (mut faults, mut conflict) = (Vec::new(), false);
        faults.extend(name_fault(&vpc.name).map(|message| ("metadata.name".to_owned(), message)));
        let mut cidrs: Vec<IpNetwork> = Vec::new();
        for (index, text) in vpc.cidrs.iter().enumerate() {
            match judge(text, vpc, &cidrs, ground) {
                Ok(network) => cidrs.push(network),
                Err(Fault {
                    field,
                    message,
                    is_clash,
                }) => {
                    conflict |= is_clash;
                    faults.push((
                        field.map_or_else(|| format!("{CIDRS}[{index}]"), str::to_owned),
                        message,
                    ));
                }
            }
        }
        if vpc.cidrs.is_empty() {
            faults.push((
                CIDRS.to_owned(),
                "a VPC needs a network that pods have addresses of".to_owned(),
            ));
        }
        let network = Network {
            slice_v4: vpc.host_slice_v4,
            slice_v6: vpc.host_slice_v6,
            cidrs: cidrs.into(),
        };
        let state = State {
            clashes: clashes(
                &network.cidrs,
                vpc.created,
                &format!("VPC {}", vpc.name),
                ground.cluster,
            )
            .into_iter()
            .chain(dns_faults(vpc))
            .collect(),
            object: vpc.clone(),
            network,
            faults,
            conflict,
            lost: BTreeMap::new(),
            peers: Vec::new(),
            subnets: Vec::new(),
            consents: Vec::new(),
            routes: Vec::new(),
            route_faults: Vec::new(),
        };
        (vpc.name.clone(), state)
    };
    ground.cluster.vpcs().map(state).collect()
}

/// What is wrong with a network.
pub(super) struct Fault {
    /// Where, if not in the network itself.
    pub(super) field: Option<&'static str>,
    pub(super) message: String,
    /// Whether it would do, if something else were not there.
    pub(super) is_clash: bool,
}

impl Fault {
    pub(super) fn here(message: String) -> Self {
        Self {
            field: None,
            message,
            is_clash: false,
        }
    }
}

/// Reads a network.
pub(super) fn read(text: &str) -> Result<IpNetwork, Fault> {
    let network: IpNetwork = text.parse().map_err(|reason| {
        Fault::here(format!(
            "{text:?} is not a network ({reason}): write it like 10.10.0.0/16"
        ))
    })?;
    let meant = ip::canonical(network);
    if meant != network {
        let message = format!("{network} is an address with a prefix length, not a network: did you mean {meant}?");
        return Err(Fault::here(message));
    }
    Ok(network)
}

/// Reads a network that pods can have addresses of, beside those that `what` has already.
pub(super) fn network(text: &str, earlier: &[IpNetwork], what: &str) -> Result<IpNetwork, Fault> {
    let network = read(text)?;
    let v4 = network.is_ipv4();
    if let Some(first) = earlier.iter().find(|first| first.is_ipv4() == v4) {
        let family = if v4 { "IPv4" } else { "IPv6" };
        let message = format!("{network} is a second {family} network beside {first}: {what} has one per family");
        return Err(Fault::here(message));
    }
    if let Some(what) = reserved(network, ip::overlap) {
        return Err(Fault::here(format!(
            "{network} is of {what} addresses, which no pod can have"
        )));
    }
    Ok(network)
}

fn judge(text: &str, vpc: &Vpc, earlier: &[IpNetwork], ground: &Ground<'_>) -> Result<IpNetwork, Fault> {
    let here = Fault::here;
    let network = network(text, earlier, "a VPC")?;
    let v4 = network.is_ipv4();
    let (slice, field) = if v4 {
        (vpc.host_slice_v4, "spec.podNetwork.hostSlice")
    } else {
        (vpc.host_slice_v6, "spec.podNetwork.hostSliceIPv6")
    };
    let most = ip::longest_slice(network);
    if slice < network.prefix() || slice > most {
        let least = network.prefix();
        let message = format!(
            "a slice of /{slice} per node does not fit {network}: it must be at least /{least} and at most /{most}"
        );
        return Err(Fault {
            field: Some(field),
            ..here(message)
        });
    }
    let overlapped = overlapped(network, vpc.created, ground).or_else(|| of_older_subnet(network, vpc, ground.cluster));
    match overlapped {
        Some(what) => Err(Fault {
            is_clash: true,
            ..here(format!("{network} overlaps {what}: take another network"))
        }),
        None => Ok(network),
    }
}

/// A Subnet of another VPC that was there before and shares addresses with a network. Hosts tell pods by their addresses, and a
/// node may have a slice of any part of the network.
fn of_older_subnet(network: IpNetwork, vpc: &Vpc, cluster: &Cluster) -> Option<String> {
    let mut older = cluster
        .subnets()
        .filter(|subnet| subnet.created < vpc.created && subnet.vpc != vpc.name);
    older.find_map(|subnet| {
        let cidrs = subnet.cidrs.iter().filter_map(|text| text.parse().ok());
        let cidr = cidrs.map(ip::canonical).find(|cidr| ip::overlap(*cidr, network))?;
        Some(format!("{cidr} of Subnet {} of VPC {}", subnet.name, subnet.vpc))
    })
}

/// What a network shares addresses with that pods of a VPC have to tell from their own.
pub(super) fn overlapped(network: IpNetwork, created: Timestamp, ground: &Ground<'_>) -> Option<String> {
    let Ground {
        config,
        service_cidrs,
        cluster,
    } = ground;
    let among = |networks: &[IpNetwork]| networks.iter().find(|other| ip::overlap(**other, network)).copied();
    if let Some(pods) = among(config.cluster_cidrs()) {
        return Some(format!(
            "the cluster CIDR {pods}, whose addresses are those of pods in the default VPC"
        ));
    }
    if let Some(services) = among(service_cidrs.networks()) {
        return Some(format!("the service CIDR {services}, whose addresses are ClusterIPs"));
    }
    if let Some(egress) = among(config.egress_cidrs()) {
        return Some(format!(
            "the egress CIDR {egress} (--egress-cidr), where VPCs' routers and their gateways have addresses"
        ));
    }
    let v4 = network.is_ipv4();
    if network.contains(config.node_address(v4)) || (v4 && network.contains(config.service_device_address().ip())) {
        return Some("what stands for nodes that services have ports of".to_owned());
    }
    // A node that came later is reported itself: it must not take a network away that pods are in.
    let mut nodes = cluster.nodes().filter(|node| node.created <= created);
    nodes.find_map(|node| {
        let address = node.internal_ips.iter().find(|address| network.contains(**address))?;
        Some(format!("the address {address} of node {}", node.name))
    })
}

/// What addresses are for that are nobody's, if a network of them and this one are as asked.
pub(super) fn reserved(network: IpNetwork, are: impl Fn(IpNetwork, IpNetwork) -> bool) -> Option<&'static str> {
    let reserved: [(&str, &str); 7] = [
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("0.0.0.0/8", "no host's"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("::/127", "no host's"),
    ];
    let is_such = |text: &str| text.parse().is_ok_and(|other| are(other, network));
    reserved.iter().find(|(text, _)| is_such(text)).map(|(_, what)| *what)
}

/// Nodes that came after what has these networks, and have an address of them.
pub(super) fn clashes(
    networks: &[IpNetwork],
    created: Timestamp,
    what: &str,
    cluster: &Cluster,
) -> Vec<(Key, String, String)> {
    let mut clashes = Vec::new();
    for node in cluster.nodes().filter(|node| node.created > created) {
        for address in &node.internal_ips {
            if let Some(cidr) = networks.iter().find(|cidr| cidr.contains(*address)) {
                let message = format!(
                    "{address} is in {cidr} of {what}, which was there before: pods of that VPC do not reach the node"
                );
                clashes.push((Key::Node(node.name.clone()), "status.addresses".to_owned(), message));
            }
        }
    }
    clashes
}

/// What of its defaults for DHCP cannot be told.
fn dns_faults(vpc: &Vpc) -> Vec<(Key, String, String)> {
    let servers = vpc.dns_servers.iter().enumerate();
    let servers = servers.filter(|(_, text)| text.parse::<IpAddr>().is_err());
    let servers = servers.map(|(at, text)| (format!("spec.dns.servers[{at}]"), format!("{text:?} is no IP address")));
    let domains = vpc.search_domains.iter().enumerate();
    let domains = domains.filter(|(_, text)| !is_domain(text));
    let domains = domains.map(|(at, text)| {
        (
            format!("spec.dns.searchDomains[{at}]"),
            format!("{text:?} is no domain"),
        )
    });
    let faults = servers.chain(domains);
    faults
        .map(|(field, what)| (Key::Vpc(vpc.name.clone()), field, format!("{what}: it is left out")))
        .collect()
}
