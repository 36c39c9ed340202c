//! CHECK: is the attachment as ADD left it?

use std::time::Instant;

use super::link;
use super::ovs::{self, Ovs, key};
use crate::cni::{Attachment, Bandwidth, CniError, CniResult, Code, Config, Interface, Limit};
use crate::name;
use crate::netlink::{Link, NetlinkError, Rtnetlink};
use crate::netns::Netns;

pub(super) fn check(config: &Config, attachment: &Attachment) -> Result<(), CniError> {
    let previous = config
        .prev_result
        .as_ref()
        .ok_or_else(|| CniError::new(Code::InvalidConfig, "CHECK needs prevResult"))?;
    let previous = CniResult::from_json(previous)?;
    let netns = Netns::open(attachment.require_netns()?)?.require_foreign()?;
    let host = name::host_end(&config.network, &attachment.container_id, &attachment.ifname);

    let bandwidth = Bandwidth::of_interface(config, &attachment.ifname)?;

    let mut differences = check_host(&host, bandwidth.ingress)?;
    differences.extend(netns.run(|| check_pod(&attachment.ifname, &previous, bandwidth.egress))??);
    differences.extend(check_port(config, attachment, &host)?);
    if differences.is_empty() {
        return Ok(());
    }
    Err(CniError::new(Code::CheckFailed, differences.join("; ")))
}

fn check_host(host: &str, limit: Option<Limit>) -> Result<Vec<String>, CniError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let Some(link) = rtnetlink.link(host)? else {
        return Ok(vec![format!("the host has no device {host}")]);
    };
    let mut differences = Vec::new();
    if !link.up {
        differences.push(format!("device {host} of the host is down"));
    }
    differences.extend(check_limit(&mut rtnetlink, &link, limit)?);
    Ok(differences)
}

/// Without a limit any queueing is right: somebody else may have chosen it.
fn check_limit(rtnetlink: &mut Rtnetlink, link: &Link, limit: Option<Limit>) -> Result<Option<String>, NetlinkError> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    let wanted = link::bucket(limit, link.mtu);
    let found = rtnetlink.token_bucket(link)?;
    // The kernel does not tell the burst as it was given, but it is part of the queue's length.
    let same = found.is_some_and(|found| (found.rate, found.limit) == (wanted.rate, wanted.limit));
    let name = &link.name;
    Ok((!same).then(|| match found {
        None => format!("{name} has no limit, not {wanted}"),
        Some(found) => format!("{name} is limited to {found}, not {wanted}"),
    }))
}

/// Runs inside the pod. Looks only at what the result says of our interface: other plugins may have added theirs.
fn check_pod(ifname: &str, previous: &CniResult, limit: Option<Limit>) -> Result<Vec<String>, CniError> {
    let mut rtnetlink = Rtnetlink::open()?;
    let Some(link) = rtnetlink.link(ifname)? else {
        return Ok(vec![format!("the pod has no interface {ifname}")]);
    };
    let mut differences = Vec::new();
    if !link.up {
        differences.push(format!("{ifname} is down"));
    }
    let ours = |interface: &Interface| interface.name == ifname && interface.sandbox.is_some();
    let position = previous.interfaces.iter().position(ours);
    if let Some(expected) = position.map(|position| &previous.interfaces[position]) {
        let mac = link.mac.map(|mac| mac.to_string());
        if let Some(wanted) = expected.mac.as_ref().filter(|wanted| mac.as_ref() != Some(wanted)) {
            let found = mac.as_deref().unwrap_or("none");
            differences.push(format!("{ifname} has MAC address {found}, not {wanted}"));
        }
        if let Some(wanted) = expected.mtu.filter(|wanted| *wanted != link.mtu) {
            differences.push(format!("{ifname} has MTU {}, not {wanted}", link.mtu));
        }
    }
    differences.extend(check_limit(&mut rtnetlink, &link, limit)?);
    let addresses = rtnetlink.addresses()?;
    for ip in previous
        .ips
        .iter()
        .filter(|ip| ip.interface == position || ip.interface.is_none())
    {
        let there = |address: &crate::netlink::Address| address.index == link.index && address.network == ip.address;
        if !addresses.iter().any(there) {
            differences.push(format!("{ifname} has no address {}", ip.address));
        }
    }
    let routes = rtnetlink.routes()?;
    for wanted in &previous.routes {
        let there = |route: &crate::netlink::Route| {
            route.destination.ip() == wanted.destination.network()
                && route.destination.prefix() == wanted.destination.prefix()
                && (wanted.gateway.is_none() || route.gateway == wanted.gateway)
        };
        if !routes.iter().any(there) {
            differences.push(format!("the pod has no route to {}", wanted.destination));
        }
    }
    Ok(differences)
}

fn check_port(config: &Config, attachment: &Attachment, host: &str) -> Result<Vec<String>, CniError> {
    let deadline = Instant::now() + config.timeout;
    let ovs = Ovs::connect(config, &[ovs::has_name(host)], deadline)?;
    let Some((_, row)) = ovs.interfaces().next() else {
        return Ok(vec![format!("Open vSwitch has no port {host}")]);
    };
    let mut differences = Vec::new();
    let mut compare = |key: &str, wanted: &str| {
        let found = ovs::id(row, key).unwrap_or_default();
        if found != wanted {
            differences.push(format!("{key} of port {host} is {found:?}, not {wanted:?}"));
        }
    };
    compare(key::SANDBOX, &attachment.container_id);
    compare(key::IFNAME, &attachment.ifname);
    compare(key::OVN_INSTALLED, "true");
    if let (Some(namespace), Some(pod)) = (&attachment.namespace, &attachment.pod) {
        let port = name::interface_port(&config.port_prefix, namespace, pod, &attachment.ifname);
        compare(key::IFACE_ID, &port);
    }
    if let Some(error) = row.get("error").as_str() {
        differences.push(format!("Open vSwitch reports of port {host}: {error}"));
    }
    Ok(differences)
}
