//! The picture: a column for each node, a row for each VPC with its router, and a switch where they meet.

use std::fmt::Write as _;

use meridian_compile::{Cell, Host, Network, Topology};

use super::layout::{Layout, count};
use super::peers::{self, Wires};
use super::style::{PICTURE, colour, escape, fit};

const MARGIN: usize = 24;
/// Width of what is said of a VPC, left of the columns.
const LABEL: usize = 290;
const COLUMN: usize = 232;
const GAP: usize = 16;
const TITLE: usize = 64;
const NODE: usize = 54;
const ROW: usize = 168;
/// What a Subnet adds to that.
const LINE: usize = 30;
const HOST: usize = 74;
/// As many pods are drawn as dots.
const DOTS: usize = 18;

/// The picture by itself.
pub(super) fn picture(topology: &Topology) -> String {
    let layout = Layout::of(topology);
    let columns = layout.nodes.len().max(1);
    let wires = Wires::of(&layout);
    let width = MARGIN * 2 + LABEL + columns * (COLUMN + GAP);
    let mut body = String::new();
    let mut y = MARGIN;
    title(&mut body, topology, y);
    y += TITLE;
    let top = y;
    let stride = ROW + layout.lines * LINE + GAP;
    let rows_end = top + NODE + layout.vpcs.len() * stride;
    bands(&mut body, &layout, top, rows_end + HOST + GAP);
    y += NODE;
    for (row, vpc) in layout.vpcs.iter().enumerate() {
        network(&mut body, &layout, vpc, row, (y, width));
        y += stride;
    }
    wires.draw(&mut body, &layout, (MARGIN, top + NODE, stride));
    y = hosts(&mut body, &layout, y, width);
    if layout.rest.0 > 0 {
        let (more, pods) = layout.rest;
        let _ = writeln!(
            body,
            r#"<text x="{MARGIN}" y="{}" class="soft">and {}, with {}: the tables of --output html and --output json have them all</text>"#,
            y + 24,
            count(more, "more VPC", "more VPCs"),
            count(pods, "pod", "pods")
        );
        y += 36;
    }
    if let Some(missing) = wires.missing() {
        let _ = writeln!(
            body,
            r#"<text x="{MARGIN}" y="{}" class="soft">and {missing}</text>"#,
            y + 24
        );
        y += 36;
    }
    y = shared(&mut body, &layout, y, width);
    let (lanes, whole) = (wires.width(), width + wires.width());
    let height = y + MARGIN;
    let summary = summary(topology);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="net" width="{whole}" height="{height}" viewBox="-{lanes} 0 {whole} {height}" role="img" aria-labelledby="net-title net-desc">
<title id="net-title">Networks of the cluster</title>
<desc id="net-desc">{}</desc>
<style>{PICTURE}</style>
<rect class="page" x="-{lanes}" width="{whole}" height="{height}" rx="14"/>
{body}</svg>
"#,
        escape(&summary)
    )
}

/// Everything in a sentence or two, for those who do not see it.
pub(super) fn summary(topology: &Topology) -> String {
    let of_vpc = |vpc: &Network| {
        format!(
            "VPC {}: {} on {}, {}",
            vpc.name,
            count(vpc.pods, "pod", "pods"),
            count(vpc.slices.len(), "node", "nodes"),
            match &*vpc.gateways {
                [] if vpc.egress => "reaches the world".to_owned(),
                [] => "no way out".to_owned(),
                gateways => format!("reaches the world by {}", count(gateways.len(), "gateway", "gateways")),
            }
        ) + &peers::label(vpc)
            .map(|peers| format!(", peers {peers}"))
            .unwrap_or_default()
    };
    let vpcs: Vec<String> = topology.vpcs.iter().take(12).map(of_vpc).collect();
    let more = topology.vpcs.len().saturating_sub(12);
    let more = if more > 0 {
        format!("; and {}", count(more, "more", "more"))
    } else {
        String::new()
    };
    format!("{}. {}{more}.", headline(topology), vpcs.join("; "))
}

fn headline(topology: &Topology) -> String {
    let pods: usize = topology.vpcs.iter().map(|vpc| vpc.pods).sum();
    let services: usize = topology.vpcs.iter().map(|vpc| vpc.services).sum();
    format!(
        "{}, {}, {}, {}",
        count(topology.vpcs.len(), "VPC", "VPCs"),
        count(topology.nodes.len(), "node", "nodes"),
        count(pods, "pod", "pods"),
        count(services, "service", "services")
    )
}

fn title(body: &mut String, topology: &Topology, y: usize) {
    let _ = writeln!(body, r#"<text x="{MARGIN}" y="{}" class="big">Networks</text>"#, y + 20);
    let _ = writeln!(
        body,
        r#"<text x="{MARGIN}" y="{}" class="soft">{}</text>"#,
        y + 42,
        headline(topology)
    );
}

fn left(column: usize) -> usize {
    MARGIN + LABEL + column * (COLUMN + GAP)
}

/// Behind everything, what is on one node.
fn bands(body: &mut String, layout: &Layout<'_>, top: usize, bottom: usize) {
    for (column, node) in layout.nodes.iter().enumerate() {
        let x = left(column);
        let _ = writeln!(
            body,
            r#"<rect class="band" x="{x}" y="{top}" width="{COLUMN}" height="{}" rx="12"/>"#,
            bottom - top
        );
        node_head(body, node, x, top);
    }
    if layout.nodes.is_empty() {
        let x = left(0);
        let nodes = count(layout.topology.nodes.len(), "node", "nodes");
        let _ = writeln!(
            body,
            r#"<text x="{}" y="{}" class="strong mid">{nodes}</text>"#,
            x + COLUMN / 2,
            top + 32
        );
    }
}

fn node_head(body: &mut String, node: &Host, x: usize, top: usize) {
    let zone = node
        .zone
        .as_deref()
        .map(|zone| format!("zone {zone} · "))
        .unwrap_or_default();
    let state = if node.ready { "" } else { " · not ready" };
    let middle = x + COLUMN / 2;
    let _ = writeln!(
        body,
        r#"<g><title>node {}</title><text x="{middle}" y="{}" class="strong mid">{}</text><text x="{middle}" y="{}" class="soft small mid">{}</text></g>"#,
        escape(&node.name),
        top + 24,
        fit(&node.name, 28),
        top + 42,
        fit(&format!("{zone}{}{state}", count(node.pods, "pod", "pods")), 34)
    );
}

/// A VPC: what it is, its router across, and its switches below.
fn network(body: &mut String, layout: &Layout<'_>, vpc: &Network, row: usize, (y, width): (usize, usize)) {
    let _ = writeln!(
        body,
        r#"<g style="{}" role="group" aria-label="VPC {}">"#,
        colour(&vpc.name, row),
        escape(&vpc.name)
    );
    let height = ROW + layout.lines * LINE;
    let _ = writeln!(
        body,
        r#"<rect class="card" x="{MARGIN}" y="{y}" width="{}" height="{height}" rx="12" fill-opacity=".88"/><rect class="tone" x="{MARGIN}" y="{y}" width="5" height="{height}" rx="2.5"/>"#,
        width - MARGIN * 2
    );
    label(body, vpc, y);
    let router = y + 16;
    let (first, last) = (left(0), left(layout.nodes.len().max(1) - 1) + COLUMN);
    let _ = writeln!(
        body,
        r#"<rect class="tone" x="{}" y="{router}" width="{}" height="24" rx="12"/><text x="{}" y="{}" class="small strong mid on">router {}</text>"#,
        first + 8,
        last - first - 16,
        usize::midpoint(first, last),
        router + 16,
        fit(&vpc.router, 40)
    );
    if layout.nodes.is_empty() {
        total(body, vpc, y);
    }
    for (column, node) in layout.nodes.iter().enumerate() {
        if let Some(cell) = Layout::cell(vpc, node) {
            switch(body, cell, left(column), y);
        }
    }
    subnets(body, layout, vpc, y + ROW);
    body.push_str("</g>\n");
}

fn label(body: &mut String, vpc: &Network, y: usize) {
    let x = MARGIN + 20;
    let mut line = |offset: usize, class: &str, text: String| {
        let _ = writeln!(
            body,
            r#"<text x="{x}" y="{}" class="{class}">{text}</text>"#,
            y + offset
        );
    };
    line(30, "name", fit(&vpc.name, 26));
    line(51, "mono soft", fit(&vpc.cidrs.join("  "), 36));
    let counts = format!(
        "{} · {} · {}",
        count(vpc.pods, "pod", "pods"),
        count(vpc.namespaces, "namespace", "namespaces"),
        count(vpc.services, "service", "services")
    );
    line(73, "small", fit(&counts, 44));
    if let Some(fault) = &vpc.fault {
        line(97, "small strong bad", fit(&format!("not ready: {fault}"), 40));
    } else if vpc.deleting {
        line(97, "small strong bad", "being deleted".to_owned());
    } else {
        let out = match &*vpc.gateways {
            [] if vpc.egress => "→ world, by its node".to_owned(),
            [] => "✕ no way out".to_owned(),
            gateways => format!("→ world, by {}", gateways.join(", ")),
        };
        line(97, "small", fit(&out, 44));
    }
    let services = if vpc.name == "default" {
        "its services are for hosts, too".to_owned()
    } else if vpc.uses_shared {
        "→ shared services".to_owned()
    } else {
        "✕ no shared services".to_owned()
    };
    line(117, "small", services);
    if vpc.shared_services > 0 {
        let shares = count(vpc.shared_services, "service", "services");
        line(137, "small soft", format!("shares {shares} with every VPC"));
    }
    if let Some(peers) = peers::label(vpc) {
        line(157, "small", fit(&peers, 44));
    }
}

fn switch(body: &mut String, cell: &Cell, x: usize, y: usize) {
    let (left, top, middle) = (x + 8, y + 58, x + COLUMN / 2);
    let networks: Vec<String> = cell.networks.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        body,
        r#"<g><title>switch {}: {}, {}</title><path class="wire" d="M{middle} {}V{top}"/><rect class="wash" x="{left}" y="{top}" width="{}" height="98" rx="9"/>"#,
        escape(&cell.switch),
        escape(&networks.join(" ")),
        count(cell.pods, "pod", "pods"),
        y + 40,
        COLUMN - 16
    );
    let text = left + 12;
    let _ = writeln!(
        body,
        r#"<text x="{text}" y="{}" class="small strong">{}</text>"#,
        top + 20,
        fit(&cell.switch, 30)
    );
    for (index, network) in networks.iter().take(2).enumerate() {
        let baseline = top + 38 + index * 16;
        let _ = writeln!(
            body,
            r#"<text x="{text}" y="{baseline}" class="mono soft">{}</text>"#,
            fit(network, 28)
        );
    }
    for dot in 0..cell.pods.min(DOTS) {
        let _ = write!(
            body,
            r#"<circle class="tone" cx="{}" cy="{}" r="3.2"/>"#,
            text + 3 + dot * 8,
            top + 66
        );
    }
    let _ = writeln!(
        body,
        r#"<text x="{text}" y="{}" class="small">{}</text></g>"#,
        top + 88,
        count(cell.pods, "pod", "pods")
    );
}

/// Where there are too many nodes, all switches in one.
fn total(body: &mut String, vpc: &Network, y: usize) {
    let (x, top) = (left(0), y + 58);
    let _ = writeln!(
        body,
        r#"<path class="wire" d="M{0} {1}V{top}"/><rect class="wash" x="{2}" y="{top}" width="{3}" height="98" rx="9"/><text x="{0}" y="{4}" class="strong mid">{5}</text><text x="{0}" y="{6}" class="small mid">{7}</text>"#,
        x + COLUMN / 2,
        y + 40,
        x + 8,
        COLUMN - 16,
        top + 44,
        count(vpc.slices.len(), "switch", "switches"),
        top + 66,
        count(vpc.pods, "pod", "pods")
    );
}

/// Subnets, each a switch across all nodes, below those of single nodes.
fn subnets(body: &mut String, layout: &Layout<'_>, vpc: &Network, mut y: usize) {
    let x = MARGIN + 20;
    let (drawn, rest) = Layout::subnets(vpc);
    let columns = layout.nodes.len().max(1);
    let (first, last) = (left(0) + 8, left(columns - 1) + COLUMN - 8);
    for subnet in drawn {
        let networks: Vec<String> = subnet.networks.iter().map(ToString::to_string).collect();
        let all = subnet.pods.values().sum();
        let state = subnet
            .fault
            .as_ref()
            .map(|fault| format!(", {fault}"))
            .unwrap_or_default();
        let _ = writeln!(
            body,
            r#"<g><title>switch {}: {}, {}{}</title><text x="{x}" y="{}" class="small"><tspan class="strong">{}</tspan> <tspan class="mono soft">{}</tspan></text><rect class="wash" x="{first}" y="{y}" width="{}" height="22" rx="9"/>"#,
            escape(&subnet.switch),
            escape(&networks.join(" ")),
            count(all, "pod", "pods"),
            escape(&state),
            y + 15,
            fit(&subnet.switch, 18),
            fit(&networks.join(" "), 20),
            last - first
        );
        let mut pods = |column: usize, pods: usize| {
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{}" class="small mid">{}</text>"#,
                left(column) + COLUMN / 2,
                y + 15,
                count(pods, "pod", "pods")
            );
        };
        if layout.nodes.is_empty() {
            pods(0, all);
        }
        for (column, node) in layout.nodes.iter().enumerate() {
            if let Some(here) = subnet.pods.get(&node.name) {
                pods(column, *here);
            }
        }
        body.push_str("</g>\n");
        y += LINE;
    }
    if rest > 0 {
        let _ = writeln!(
            body,
            r#"<text x="{x}" y="{}" class="small soft">and {}</text>"#,
            y + 15,
            count(rest, "more Subnet", "more Subnets")
        );
    }
}

/// The hosts, through which VPCs reach the world and one another's shared services.
fn hosts(body: &mut String, layout: &Layout<'_>, y: usize, width: usize) -> usize {
    let x = MARGIN + 20;
    let _ = writeln!(
        body,
        r#"<text x="{x}" y="{}" class="strong">hosts</text><text x="{x}" y="{}" class="small soft">what leaves a VPC leaves by the</text><text x="{x}" y="{}" class="small soft">sender's host or a gateway, or not</text>"#,
        y + 24,
        y + 44,
        y + 60
    );
    for (column, node) in layout.nodes.iter().enumerate() {
        let left = left(column) + 8;
        let middle = left + (COLUMN - 16) / 2;
        let is_here = |vpc: &&Network| Layout::cell(vpc, node).is_some();
        let vpcs = || layout.topology.vpcs.iter();
        let leaves = |vpc: &&Network| match &*vpc.gateways {
            [] => is_here(vpc) && vpc.egress,
            gateways => gateways.contains(&node.name),
        };
        let out = names(vpcs().filter(leaves).collect::<Vec<_>>().iter());
        let closed = names(
            vpcs()
                .filter(|vpc| is_here(vpc) && !vpc.egress)
                .collect::<Vec<_>>()
                .iter(),
        );
        let _ = writeln!(
            body,
            r#"<g><title>host {}</title><rect class="card" x="{left}" y="{y}" width="{}" height="{HOST}" rx="9"/><text x="{}" y="{}" class="small strong">host {}</text><text x="{}" y="{}" class="small">{}</text><text x="{}" y="{}" class="small soft">{}</text><path class="out" d="M{middle} {}v22"/><path class="tip" d="M{} {}l6 10 6-10z"/></g>"#,
            escape(&node.name),
            COLUMN - 16,
            left + 12,
            y + 20,
            fit(&node.name, 26),
            left + 12,
            y + 40,
            fit(&format!("out: {}", if out.is_empty() { "nobody" } else { &out }), 34),
            left + 12,
            y + 58,
            fit(
                &if closed.is_empty() {
                    String::new()
                } else {
                    format!("not out: {closed}")
                },
                34
            ),
            y + HOST,
            middle - 6,
            y + HOST + 20
        );
    }
    let world = y + HOST + 36;
    let _ = writeln!(
        body,
        r#"<rect class="card" x="{}" y="{world}" width="{}" height="36" rx="18"/><text x="{}" y="{}" class="strong mid">the world outside the cluster</text>"#,
        left(0),
        width - MARGIN - left(0),
        usize::midpoint(left(0), width - MARGIN),
        world + 23
    );
    world + 36
}

fn names<'n, 'v: 'n>(vpcs: impl Iterator<Item = &'n &'v Network>) -> String {
    vpcs.map(|vpc| &*vpc.name).collect::<Vec<_>>().join(", ")
}

fn shared(body: &mut String, layout: &Layout<'_>, y: usize, width: usize) -> usize {
    let all = &layout.topology.shared;
    if all.is_empty() {
        return y;
    }
    let top = y + 28;
    let lines = layout.shared + usize::from(all.len() > layout.shared);
    let height = 48 + lines * 20;
    let _ = writeln!(
        body,
        r#"<rect class="card" x="{MARGIN}" y="{top}" width="{}" height="{height}" rx="12"/><text x="{}" y="{}" class="strong">services shared with every VPC</text>"#,
        width - MARGIN * 2,
        MARGIN + 20,
        top + 26
    );
    for (index, service) in all.iter().take(layout.shared).enumerate() {
        let baseline = top + 50 + index * 20;
        let _ = writeln!(
            body,
            r#"<text x="{}" y="{baseline}" class="small">{}</text><text x="{}" y="{baseline}" class="mono soft">{}</text><text x="{}" y="{baseline}" class="small soft">of VPC {}</text>"#,
            MARGIN + 20,
            fit(&service.service, 40),
            left(0) + 8,
            fit(&service.addresses.join(" "), 32),
            left(0) + 8 + 232,
            fit(&service.vpc, 30)
        );
    }
    if all.len() > layout.shared {
        let _ = writeln!(
            body,
            r#"<text x="{}" y="{}" class="small soft">and {}</text>"#,
            MARGIN + 20,
            top + 50 + layout.shared * 20,
            count(all.len() - layout.shared, "more", "more")
        );
    }
    top + height
}
