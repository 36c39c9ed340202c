//! What stays when namespaces move and pods go.

use meridian_lab::cluster::object::Key;
use meridian_lab::command::Cmd;
use meridian_lab::wait;

use crate::cluster::{Cluster, in_vpc, pod, shared, vpc};
use crate::service::Service;

/// Tables whose rows have an owner.
const TABLES: [&str; 8] = [
    "Address_Set",
    "DHCP_Options",
    "Logical_Router",
    "Logical_Router_Port",
    "Logical_Router_Policy",
    "Logical_Router_Static_Route",
    "Logical_Switch",
    "Logical_Switch_Port",
];

#[test]
fn a_namespace_that_moves_leaves_its_pods_where_they_are() {
    let Some(cluster) = shared() else { return };
    let moving = "moving";
    cluster.apply(
        vpc("old", "old-side", "{}")
            .into_iter()
            .chain(vpc("new", "new-side", "{}"))
            .collect(),
    );
    cluster.apply(vec![in_vpc(moving, "old")]);
    let pods = [
        ("moving/before", "node-1"),
        ("old-side/peer", "node-2"),
        ("new-side/peer", "node-2"),
    ];
    cluster.apply(pods.iter().map(|(name, node)| pod(name, node)).collect());
    cluster
        .from(&["old-side/peer"], cluster.at("moving/before"))
        .answered_by(&["moving/before"]);
    cluster.apply(vec![in_vpc(moving, "new")]);
    cluster.apply(vec![pod("moving/after", "node-1")]);
    cluster
        .from(&["new-side/peer"], cluster.at("moving/after"))
        .answered_by(&["moving/after"]);
    cluster
        .from(&["old-side/peer"], cluster.at("moving/before"))
        .answered_by(&["moving/before"]);
    // A service that both are endpoints of is answered by the one, and never refused by a way to the other.
    let both = [cluster.endpoint("moving/before"), cluster.endpoint("moving/after")];
    let service = Service::new("moving", 41).of(moving).on_nodes().answered_by(&both);
    cluster.put(&service);
    let ports = service.at_nodes(cluster.host_ips("node-1"));
    cluster
        .from(&["new-side/peer", "node-3"], service.cluster())
        .answered_by(&["moving/after"]);
    cluster.from(&["fabric"], ports).answered_by(&["moving/after"]);
    // Of one namespace, in two VPCs.
    cluster
        .from(&["moving/after"], cluster.at("moving/before"))
        .unanswered();
    cluster
        .from(&["node-1"], cluster.at("moving/before"))
        .answered_by(&["moving/before"]);
    cluster
        .from(&["node-1"], cluster.at("moving/after"))
        .answered_by(&["moving/after"]);
}

#[test]
fn a_node_without_pods_of_a_vpc_has_no_flow_of_it() {
    let Some(cluster) = shared() else { return };
    for (vpc, there, not_there) in [
        ("blue", "node-1", "node-3"),
        ("green", "node-3", "node-2"),
        ("red", "node-1", "node-2"),
    ] {
        let datapaths = datapaths(&cluster, vpc);
        assert!(datapaths.len() > 1, "{vpc}: {datapaths:?}");
        assert_ne!(flows(&cluster, there, &datapaths), 0, "{vpc} on {there}");
        assert_eq!(flows(&cluster, not_there, &datapaths), 0, "{vpc} on {not_there}");
        let device = format!("mrm{vpc}");
        assert!(!cluster.device_ips(there, &device).is_empty(), "{vpc} on {there}");
        assert!(
            cluster.device_ips(not_there, &device).is_empty(),
            "{vpc} on {not_there}"
        );
    }
}

#[test]
fn nothing_is_left_of_a_vpc_after_its_last_pod() {
    let Some(cluster) = shared() else { return };
    let brief = "brief";
    cluster.apply(vpc(brief, "pond", "{}"));
    cluster.apply(vec![pod("pond/frog", "node-2"), pod("pond/newt", "node-3")]);
    let ends = [cluster.endpoint("pond/frog"), cluster.endpoint("pond/newt")];
    let service = Service::new("pond", 40).of("pond").on_nodes();
    cluster.put(&service.clone().answered_by(&ends));
    let ports = service.at_nodes(cluster.host_ips("node-1"));
    cluster
        .from(&["pond/newt"], cluster.at("pond/frog"))
        .answered_by(&["pond/frog"]);
    cluster
        .from(&["fabric"], ports)
        .answered_by_any(&["pond/frog", "pond/newt"]);
    let datapaths = datapaths(&cluster, brief);
    assert_eq!(datapaths.len(), 3, "a router and two switches");

    // One node has none any more.
    cluster.put(&service.clone().answered_by(&ends[1..]));
    cluster.delete(&[Key::new("Pod", "pond", "frog")]);
    gone(&cluster, "node-2", &datapaths, "slice/brief/node-2");
    cluster.from(&["node-2"], service.cluster()).answered_by(&["pond/newt"]);

    // Nobody has.
    cluster.put(&service.answered_by(&[]));
    cluster.delete(&[Key::new("Pod", "pond", "newt"), Key::new("Service", "pond", "pond")]);
    gone(&cluster, "node-3", &datapaths, "slice/brief/node-3");
    cluster.delete(&[Key::new("Vpc", "", brief), Key::new("Namespace", "", "pond")]);
    gone(&cluster, "node-3", &datapaths, "vpc/brief");
    let groups = || {
        cluster.ovn(
            "ovn-nbctl",
            &["--bare", "--columns=name", "list", "Load_Balancer_Group"],
        )
    };
    assert!(!groups().contains("vpc-brief"), "{}", groups());
}

/// Sooner or later there is nothing of a VPC on a node, and no row of an owner.
fn gone(cluster: &Cluster, node: &str, datapaths: &[u32], owner: &str) {
    let mut last = Vec::new();
    let gone = wait::until(wait::PATIENCE, || {
        last = rows(cluster, owner);
        let flows = flows(cluster, node, datapaths);
        if flows > 0 {
            last.push(format!("{flows} flows on {node}"));
        }
        let net = |program: &str, args: &str| {
            let command = Cmd::new(program).args(args.split(' ')).netns(&cluster.place(node));
            command.run().unwrap_or_else(|e| panic!("{node}: {e}"))
        };
        for (what, said) in [("device", net("ip", "link")), ("rules", net("nft", "list ruleset"))] {
            if said.contains("mrmbrief") {
                last.push(format!("{what} on {node}"));
            }
        }
        last.is_empty().then_some(())
    });
    assert!(gone.is_some(), "{last:#?}");
}

/// Names of the Northbound rows of an owner.
pub(crate) fn rows(cluster: &Cluster, owner: &str) -> Vec<String> {
    let of = format!("external_ids:meridian/owner={owner}");
    let rows = TABLES.map(|table| {
        let found = cluster.ovn("ovn-nbctl", &["--bare", "--columns=external_ids", "find", table, &of]);
        found
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| format!("{table}: {line}"))
            .collect::<Vec<_>>()
    });
    rows.concat()
}

/// The numbers by which flows know a VPC's router and switches.
fn datapaths(cluster: &Cluster, vpc: &str) -> Vec<u32> {
    let args = [
        "--format=csv",
        "--no-headings",
        "--columns=tunnel_key,external_ids",
        "list",
        "Datapath_Binding",
    ];
    let listed = cluster.ovn("ovn-sbctl", &args);
    let names = [format!("name=vpc-{vpc}."), format!("name=vpc-{vpc}}}")];
    let lines = listed
        .lines()
        .filter(|line| names.iter().any(|name| line.contains(name)));
    lines.filter_map(|line| line.split(',').next()?.parse().ok()).collect()
}

/// How many flows of these a node has.
fn flows(cluster: &Cluster, node: &str, datapaths: &[u32]) -> usize {
    let dump = cluster.ovs(node, "ovs-ofctl", &["dump-flows", "br-int"]);
    let of = |line: &&str| {
        datapaths
            .iter()
            .any(|key| line.contains(&format!("metadata={key:#x},")) || line.contains(&format!("metadata={key:#x} ")))
    };
    dump.lines().filter(of).count()
}
