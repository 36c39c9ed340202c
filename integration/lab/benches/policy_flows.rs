//! What policies come to: their ACLs, the logical flows that ovn-northd makes of those, and the OpenFlow flows that ovn-controller makes
//! of them on a node with ten of the policy's pods and on one with none. Counted before and after each, not estimated.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::fmt::Write as _;

use meridian_lab::cluster::object::{Key, Object};
use meridian_lab::cluster::{self, object};

use meridian_lab::lab::Lab;
use meridian_lab::plan::{Families, Host, Options};
use meridian_lab::{Result, wait};

const NAME: &str = "policy-flows";
/// Pods that policies are about, on one node, and as many others on another.
const PODS: usize = 10;
/// Where the former are, and where nothing is.
const NODES: [&str; 2] = ["node-1", "node-3"];

/// What isolates one pod, on the same node.
const FIRST: &str = "  podSelector: {matchLabels: {app: first}}\n  policyTypes: [Ingress]";

fn main() {
    let options = Options {
        name: NAME.into(),
        hosts: 3,
        families: Families::Dual,
        bare: false,
        kubernetes: None,
    };
    common::in_lab(options, measure);
}

fn measure(lab: &Lab) -> Result<()> {
    cluster::apply(lab, pods())?;
    let hosts = NODES.map(|node| lab.plan().host(node).expect("one of three"));
    println!(
        "\n{:<64} {:>5} {:>8} {:>17} {:>9}",
        "policy, about ten pods of a node; dual stack", "ACLs", "logical", "OpenFlow, there", "elsewhere"
    );
    // The first one has ovn-northd track the connections of the node's switch: that is there once, whatever follows.
    count(
        lab,
        &hosts,
        "first",
        "isolates a pod in ingress, the first policy of the node",
        FIRST,
    )?;
    for (what, spec) in policies() {
        let before = count(lab, &hosts, "counted", what, &spec)?;
        cluster::delete(lab, &[Key::new("NetworkPolicy", "default", "counted")])?;
        in_force(lab, before.acls, false)?;
        assert_eq!(Count::of(lab, &hosts)?, before, "{what}: something is left");
    }
    Ok(())
}

/// Prints what a policy comes to, and returns what was there before.
fn count(lab: &Lab, hosts: &[Host; 2], name: &str, what: &str, spec: &str) -> Result<Count> {
    let before = Count::of(lab, hosts)?;
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{namespace: default, name: {name}}}\nspec:\n{spec}"
    );
    cluster::apply(lab, object::parse(&text).expect("written here"))?;
    in_force(lab, before.acls, true)?;
    let after = Count::of(lab, hosts)?;
    println!(
        "{what:<64} {:>5} {:>8} {:>17} {:>9}",
        after.acls - before.acls,
        after.logical - before.logical,
        after.openflow[0] - before.openflow[0],
        after.openflow[1] - before.openflow[1],
    );
    Ok(before)
}

/// One of which the first policy is, ten that policies are about, and ten whom rules name.
fn pods() -> Vec<Object> {
    let pod = |app: &str, node: usize, at: usize| {
        let text = format!(
            "apiVersion: v1
kind: Pod
metadata: {{namespace: default, name: {app}-{at}, labels: {{app: {app}}}}}
spec: {{nodeName: node-{node}, containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}"
        );
        object::parse(&text).expect("written here").remove(0)
    };
    let first = [pod("first", 1, 0)].into_iter();
    let servers = first.chain((0..PODS).map(|at| pod("server", 1, at)));
    servers.chain((0..PODS).map(|at| pod("client", 2, at))).collect()
}

/// What each is, and its `spec`.
fn policies() -> Vec<(&'static str, String)> {
    let of = |rest: &str| format!("  podSelector: {{matchLabels: {{app: server}}}}\n{rest}");
    let mut blocks = String::from("  ingress:\n  - from:\n");
    for at in 0..1000 {
        let (high, low) = (at / 128, 2 * (at % 128));
        writeln!(blocks, "    - ipBlock: {{cidr: 198.18.{high}.{low}/32}}").expect("a string");
    }
    vec![
        ("isolates in ingress", of("  policyTypes: [Ingress]")),
        ("isolates in both directions", of("  policyTypes: [Ingress, Egress]")),
        (
            "from ten pods",
            of("  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]"),
        ),
        (
            "from ten pods, TCP 80",
            of("  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}]}]"),
        ),
        (
            "from ten pods, TCP 8000 to 8999",
            of(
                "  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 8000, endPort: 8999}]}]",
            ),
        ),
        (
            "from ten pods, a named port",
            of("  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]"),
        ),
        (
            "from 10.0.0.0/8 but for four blocks in it",
            of(
                "  ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16, 10.3.0.7/32, 10.4.0.0/24]}}]}]",
            ),
        ),
        ("from 1,000 blocks", of(&blocks)),
        (
            "to ten pods, TCP 80 and 443, and UDP 53",
            of(
                "  policyTypes: [Egress]\n  egress: [{to: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 80}, {port: 443}, {port: 53, protocol: UDP}]}]",
            ),
        ),
    ]
}

/// Waits for ACLs to be more than so many, or again as many as that; a policy comes and goes whole. Then for all nodes.
fn in_force(lab: &Lab, before: usize, there: bool) -> Result<()> {
    wait::for_some("the policy", wait::PATIENCE, || {
        let acls = rows(lab, "ovn-nbctl", "ACL").ok()?;
        ((acls != before) == there).then_some(())
    })?;
    lab.ovn("ovn-nbctl", &["--wait=hv", "sync"]).map(drop)
}

fn rows(lab: &Lab, tool: &str, table: &str) -> Result<usize> {
    let listed = lab.ovn(
        tool,
        &["--format=csv", "--no-headings", "--columns=_uuid", "list", table],
    )?;
    Ok(listed.lines().count())
}

#[derive(Debug, PartialEq, Eq)]
struct Count {
    acls: usize,
    logical: usize,
    openflow: [usize; 2],
}

impl Count {
    fn of(lab: &Lab, hosts: &[Host; 2]) -> Result<Self> {
        let flows = |host: &Host| {
            let dump = lab.ovs(host, "ovs-ofctl", &["dump-flows", "br-int"])?;
            Ok(dump.lines().filter(|line| line.contains("cookie=")).count())
        };
        Ok(Self {
            acls: rows(lab, "ovn-nbctl", "ACL")?,
            logical: rows(lab, "ovn-sbctl", "Logical_Flow")?,
            openflow: [flows(&hosts[0])?, flows(&hosts[1])?],
        })
    }
}
