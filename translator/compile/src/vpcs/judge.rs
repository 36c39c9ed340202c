//! Whether a VPC can be used, and if not, why.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Key, Name, Vpc};

use super::{Network, State, name_fault};
use crate::service_cidrs::ServiceCidrs;
use crate::{Config, ip};

const CIDRS: &str = "spec.podNetwork.cidrs";

pub(super) fn all(config: &Config, service_cidrs: &ServiceCidrs, cluster: &Cluster) -> BTreeMap<Name, State> {
    let state = |vpc: &std::sync::Arc<Vpc>| {
        let (mut faults, mut conflict) = (Vec::new(), false);
        faults.extend(name_fault(&vpc.name).map(|message| ("metadata.name".to_owned(), message)));
        let mut cidrs: Vec<IpNetwork> = Vec::new();
        for (index, text) in vpc.cidrs.iter().enumerate() {
            match judge(text, vpc, &cidrs, config, service_cidrs, cluster) {
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
            clashes: clashes(vpc, &network, cluster),
            object: vpc.clone(),
            network,
            faults,
            conflict,
            lost: BTreeMap::new(),
            peers: Vec::new(),
            consents: Vec::new(),
        };
        (vpc.name.clone(), state)
    };
    cluster.vpcs().map(state).collect()
}

/// What is wrong with a network.
struct Fault {
    /// Where, if not in the network itself.
    field: Option<&'static str>,
    message: String,
    /// Whether it would do, if something else were not there.
    is_clash: bool,
}

fn judge(
    text: &str,
    vpc: &Vpc,
    earlier: &[IpNetwork],
    config: &Config,
    service_cidrs: &ServiceCidrs,
    cluster: &Cluster,
) -> Result<IpNetwork, Fault> {
    let here = |message| Fault {
        field: None,
        message,
        is_clash: false,
    };
    let network: IpNetwork = text.parse().map_err(|reason| {
        here(format!(
            "{text:?} is not a network ({reason}): write it like 10.10.0.0/16"
        ))
    })?;
    let meant = ip::canonical(network);
    if meant != network {
        let message = format!("{network} is an address with a prefix length, not a network: did you mean {meant}?");
        return Err(here(message));
    }
    let v4 = network.is_ipv4();
    if let Some(first) = earlier.iter().find(|first| first.is_ipv4() == v4) {
        let family = if v4 { "IPv4" } else { "IPv6" };
        let message = format!("{network} is a second {family} network beside {first}: a VPC has one per family");
        return Err(here(message));
    }
    if let Some(what) = reserved(network) {
        return Err(here(format!("{network} is of {what} addresses, which no pod can have")));
    }
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
    match overlapped(network, vpc, config, service_cidrs, cluster) {
        Some(what) => Err(Fault {
            is_clash: true,
            ..here(format!("{network} overlaps {what}: take another network"))
        }),
        None => Ok(network),
    }
}

/// What a network shares addresses with that pods of a VPC have to tell from their own.
fn overlapped(
    network: IpNetwork,
    vpc: &Vpc,
    config: &Config,
    service_cidrs: &ServiceCidrs,
    cluster: &Cluster,
) -> Option<String> {
    let among = |networks: &[IpNetwork]| networks.iter().find(|other| ip::overlap(**other, network)).copied();
    if let Some(pods) = among(config.cluster_cidrs()) {
        return Some(format!(
            "the cluster CIDR {pods}, whose addresses are those of pods in the default VPC"
        ));
    }
    if let Some(services) = among(service_cidrs.networks()) {
        return Some(format!("the service CIDR {services}, whose addresses are ClusterIPs"));
    }
    let v4 = network.is_ipv4();
    if network.contains(config.node_address(v4)) || (v4 && network.contains(config.service_device_address().ip())) {
        return Some("what stands for nodes that services have ports of".to_owned());
    }
    // A node that came later is reported itself: it must not take a VPC away that pods are in.
    let mut nodes = cluster.nodes().filter(|node| node.created <= vpc.created);
    nodes.find_map(|node| {
        let address = node.internal_ips.iter().find(|address| network.contains(**address))?;
        Some(format!("the address {address} of node {}", node.name))
    })
}

fn reserved(network: IpNetwork) -> Option<&'static str> {
    let reserved: [(&str, &str); 7] = [
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("0.0.0.0/8", "no host's"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("::/127", "no host's"),
    ];
    let overlaps = |text: &str| text.parse().is_ok_and(|other| ip::overlap(other, network));
    reserved.iter().find(|(text, _)| overlaps(text)).map(|(_, what)| *what)
}

/// Nodes that came after the VPC and have an address of its network.
fn clashes(vpc: &Vpc, network: &Network, cluster: &Cluster) -> Vec<(Key, String, String)> {
    let mut clashes = Vec::new();
    for node in cluster.nodes().filter(|node| node.created > vpc.created) {
        for address in &node.internal_ips {
            if let Some(cidr) = network.cidrs.iter().find(|cidr| cidr.contains(*address)) {
                let message = format!(
                    "{address} is in {cidr} of VPC {}, which was there before: pods of that VPC do not reach the node",
                    vpc.name
                );
                clashes.push((Key::Node(node.name.clone()), "status.addresses".to_owned(), message));
            }
        }
    }
    clashes
}
