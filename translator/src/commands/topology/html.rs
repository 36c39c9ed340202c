//! The page: the picture, and everything that it only counts in tables.

use std::fmt::Write as _;

use meridian_compile::{Network, Topology};

use super::layout::count;
use super::style::{PAGE, escape};
use super::svg;

/// A page that needs nothing from elsewhere.
pub(super) fn page(topology: &Topology) -> String {
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Networks of the cluster</title>\n<style>{PAGE}</style>\n</head>\n<body>\n<main>\n<figure>\n{}</figure>\n",
        svg::picture(topology)
    );
    vpcs(&mut text, topology);
    subnets(&mut text, topology);
    routes(&mut text, topology);
    shared(&mut text, topology);
    nodes(&mut text, topology);
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn table(text: &mut String, title: &str, heads: &[(&str, bool)], rows: impl Iterator<Item = Vec<String>>) {
    let class = |number: bool| if number { " class=\"n\"" } else { "" };
    let _ = write!(
        text,
        "<h2>{}</h2>\n<div class=\"scroll\"><table>\n<thead><tr>",
        escape(title)
    );
    for (head, number) in heads {
        let _ = write!(text, "<th scope=\"col\"{}>{}</th>", class(*number), escape(head));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for (cell, (_, number)) in row.iter().zip(heads) {
            let _ = write!(text, "<td{}>{cell}</td>", class(*number));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n");
}

fn vpcs(text: &mut String, topology: &Topology) {
    let heads = [
        ("VPC", false),
        ("networks", false),
        ("pods", true),
        ("nodes", true),
        ("namespaces", true),
        ("services", true),
        ("shared by it", true),
        ("uses shared services", false),
        ("reaches the world", false),
        ("peers", false),
        ("state", false),
    ];
    let row = |vpc: &Network| {
        let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
        vec![
            escape(&vpc.name),
            code(&vpc.cidrs),
            vpc.pods.to_string(),
            vpc.slices.len().to_string(),
            vpc.namespaces.to_string(),
            vpc.services.to_string(),
            vpc.shared_services.to_string(),
            yes(vpc.uses_shared),
            match &*vpc.gateways {
                [] => yes(vpc.egress),
                gateways => format!("by {}", escape(&gateways.join(", "))),
            },
            peers(vpc),
            match &vpc.fault {
                Some(fault) => format!("<span class=\"bad\">not ready: {}</span>", escape(fault)),
                None if vpc.deleting => "<span class=\"bad\">being deleted</span>".to_owned(),
                None => "ready".to_owned(),
            },
        ]
    };
    let title = count(topology.vpcs.len(), "VPC", "VPCs");
    table(text, &title, &heads, topology.vpcs.iter().map(row));
}

/// Those that it is connected to, and of the others why not.
fn peers(vpc: &Network) -> String {
    let peers = vpc.peers.iter().map(|peer| match &peer.why {
        None => escape(&peer.name),
        Some(why) => format!("{} <span class=\"soft\">({})</span>", escape(&peer.name), escape(why)),
    });
    peers.collect::<Vec<_>>().join(", ")
}

fn subnets(text: &mut String, topology: &Topology) {
    let all = topology
        .vpcs
        .iter()
        .flat_map(|vpc| vpc.subnets.iter().map(move |subnet| (vpc, subnet)));
    let number = all.clone().count();
    if number == 0 {
        return;
    }
    let heads = [
        ("Subnet", false),
        ("VPC", false),
        ("networks", false),
        ("pods", true),
        ("nodes", true),
        ("state", false),
    ];
    let rows = all.map(|(vpc, subnet)| {
        let networks: Vec<String> = subnet.networks.iter().map(ToString::to_string).collect();
        vec![
            escape(&subnet.name),
            escape(&vpc.name),
            code(&networks),
            subnet.pods.values().sum::<usize>().to_string(),
            subnet.pods.len().to_string(),
            match &subnet.fault {
                Some(fault) => format!("<span class=\"bad\">{}</span>", escape(fault)),
                None => "ready".to_owned(),
            },
        ]
    });
    table(text, &count(number, "Subnet", "Subnets"), &heads, rows);
}

fn routes(text: &mut String, topology: &Topology) {
    let all = topology
        .vpcs
        .iter()
        .flat_map(|vpc| vpc.routes.iter().map(move |route| (vpc, route)));
    let number = all.clone().count();
    if number == 0 {
        return;
    }
    let heads = [("VPC", false), ("what is for", false), ("goes first to", false)];
    let rows = all.map(|(vpc, route)| {
        let hops: Vec<String> = route.nexthops.iter().map(ToString::to_string).collect();
        vec![
            escape(&vpc.name),
            code(&[route.destination.to_string()]),
            if hops.is_empty() {
                "<span class=\"bad\">nobody: it is dropped</span>".to_owned()
            } else {
                code(&hops)
            },
        ]
    });
    table(text, &count(number, "route", "routes"), &heads, rows);
}

fn shared(text: &mut String, topology: &Topology) {
    if topology.shared.is_empty() {
        return;
    }
    let heads = [("service", false), ("VPC", false), ("ClusterIPs", false)];
    let rows = topology
        .shared
        .iter()
        .map(|service| vec![escape(&service.service), escape(&service.vpc), code(&service.addresses)]);
    let title = count(
        topology.shared.len(),
        "service shared with every VPC",
        "services shared with every VPC",
    );
    table(text, &title, &heads, rows);
}

fn nodes(text: &mut String, topology: &Topology) {
    let heads = [
        ("node", false),
        ("zone", false),
        ("pods", true),
        ("VPCs", true),
        ("state", false),
    ];
    let mut vpcs: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for slice in topology.vpcs.iter().flat_map(|vpc| &vpc.slices) {
        *vpcs.entry(&slice.node).or_default() += 1;
    }
    let rows = topology.nodes.iter().map(|node| {
        vec![
            escape(&node.name),
            escape(node.zone.as_deref().unwrap_or_default()),
            node.pods.to_string(),
            vpcs.get(&*node.name).copied().unwrap_or_default().to_string(),
            if node.ready {
                "ready"
            } else {
                "<span class=\"bad\">not ready</span>"
            }
            .to_owned(),
        ]
    });
    table(text, &count(topology.nodes.len(), "node", "nodes"), &heads, rows);
}

fn code(texts: &[String]) -> String {
    let texts: Vec<String> = texts
        .iter()
        .map(|text| format!("<code>{}</code>", escape(text)))
        .collect();
    texts.join(" ")
}
