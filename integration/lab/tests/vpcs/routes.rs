//! Routes of a VPC: what leaves it goes through pods of it that forward, as firewalls.
//!
//! A lab of its own: its pods forward.

use meridian_lab::command::Cmd;
use serde_json::{Value, json};

use crate::cluster::{Cluster, WORLD, annotated, listening, pod, subnet, vpc};
use crate::common::possible;
use crate::gateways::leaves_by;
use crate::service::Service;

/// Who forwards, on which node, and under which addresses.
const FIREWALLS: [(&str, &str, &str); 2] = [
    ("sky/fw-2", "node-2", "10.21.0.5,fd00:10:21::5"),
    ("sky/fw-3", "node-3", "10.21.0.6,fd00:10:21::6"),
];
/// Who sends, in a slice and in a Subnet.
const CLIENTS: [&str; 2] = ["sky/client-1", "sky/db-1"];

/// The spec of a VPC with routes for the world to these firewalls.
fn through(firewalls: &[(&str, &str, &str)]) -> String {
    let hops = |family: usize| -> Value {
        let addresses = firewalls.iter().filter_map(|(_, _, ips)| ips.split(',').nth(family));
        addresses.map(str::to_owned).collect()
    };
    let routes = [
        json!({"destination": "0.0.0.0/0", "nexthops": hops(0)}),
        // Not everything, of the other family: a longer prefix does as well.
        json!({"destination": format!("{}/128", WORLD[1]), "nexthops": hops(1)}),
    ];
    json!({ "routes": routes }).to_string()
}

/// Has a pod forward what it is sent, under its own address.
fn forward(cluster: &Cluster, pod: &str) {
    let place = cluster.place(pod);
    for setting in [
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        // To whom else anybody should send is not for it to say.
        "net.ipv4.conf.all.send_redirects=0",
        "net.ipv4.conf.eth0.send_redirects=0",
    ] {
        let set = Cmd::new("sysctl").args(["-q", "-w", setting]).netns(&place).run();
        set.unwrap_or_else(|e| panic!("{pod}: {e}"));
    }
    let rules = "table inet firewall {
        chain forward { type filter hook forward priority 0; }
        chain source { type nat hook postrouting priority 100; masquerade; }
    }";
    let load = Cmd::new("nft").arg(rules).netns(&place).run();
    load.unwrap_or_else(|e| panic!("{pod}: {e}"));
}

#[test]
fn what_leaves_goes_through_the_pods_that_routes_name() {
    if !possible() {
        return;
    }
    let cluster = Cluster::empty();
    let dhcp = json!({"enabled": false});
    let mut objects = vpc("blue", "sky", "{}");
    objects.push(subnet("edge", "blue", ["10.21.0.0/24", "fd00:10:21::/64"], &dhcp));
    objects.push(subnet("db", "blue", ["10.20.0.0/24", "fd00:10:20::/64"], &dhcp));
    objects.extend([
        pod("sky/client-1", "node-1"),
        annotated(pod("sky/db-1", "node-1"), &[("subnet", "db")]),
        pod("plain-1", "node-1"),
    ]);
    objects.extend(FIREWALLS.map(|(name, node, ips)| annotated(pod(name, node), &[("ips", ips)])));
    cluster.apply(objects);
    for (name, ..) in FIREWALLS {
        forward(&cluster, name);
    }
    for from in CLIENTS {
        leaves_by(&cluster, from, &["node-1"]);
    }

    cluster.apply(vpc("blue", "sky", &through(&FIREWALLS)));
    for from in CLIENTS {
        leaves_by(&cluster, from, &["node-2", "node-3"]);
    }
    // Who forwards leaves as it always did.
    for (firewall, node, _) in FIREWALLS {
        leaves_by(&cluster, firewall, &[node]);
    }
    // Nothing else takes that way: the VPC, its services, those that are shared, and its own host.
    for to in ["sky/client-1", "sky/db-1", "sky/fw-3"] {
        cluster.from(&CLIENTS, cluster.at(to)).answered_by(&[to]);
    }
    let own = Service::new("own", 40)
        .of("sky")
        .answered_by(&[cluster.endpoint("sky/fw-2")]);
    let shared = Service::new("shared", 41)
        .shared()
        .answered_by(&[cluster.endpoint("plain-1")]);
    for service in [&own, &shared] {
        cluster.put(service);
    }
    cluster.from(&CLIENTS, own.cluster()).answered_by(&["sky/fw-2"]);
    cluster.from(&CLIENTS, shared.cluster()).answered_by(&["plain-1"]);
    for to in CLIENTS {
        cluster.from(&["node-1"], cluster.at(to)).answered_by(&[to]);
    }

    // What a firewall drops nobody gets, and there is no other way.
    cluster.apply(vpc("blue", "sky", &through(&FIREWALLS[..1])));
    for from in CLIENTS {
        leaves_by(&cluster, from, &["node-2"]);
    }
    let drop = ["add", "rule", "inet", "firewall", "forward", "drop"];
    let dropping = Cmd::new("nft").args(drop).netns(&cluster.place("sky/fw-2")).run();
    dropping.unwrap_or_else(|e| panic!("{e}"));
    cluster.from(&CLIENTS, listening(WORLD)).over_tcp().unanswered();
    cluster.apply(vpc("blue", "sky", &through(&FIREWALLS[1..])));
    for from in CLIENTS {
        leaves_by(&cluster, from, &["node-3"]);
    }
    cluster.apply(vpc("blue", "sky", "{}"));
    for from in CLIENTS {
        leaves_by(&cluster, from, &["node-1"]);
    }
}
