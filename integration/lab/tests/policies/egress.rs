//! What pods may connect to.

use serde_json::json;

use crate::cluster::{Cluster, OUTSIDE, WORLD, shared};
use crate::service::{Frontend, PORTS, Service};

const PODS: [(&str, &str); 3] = [("client", "node-1"), ("server", "node-2"), ("other", "node-1")];

/// Where the outside answers: by TCP alone.
fn world(cluster: &Cluster) -> Vec<Frontend> {
    let at = |ip| Frontend {
        ip,
        tcp: PORTS[0],
        udp: 9,
    };
    for ip in WORLD {
        cluster.listen(OUTSIDE, ip, PORTS[0]);
    }
    WORLD.map(at).into()
}

#[test]
fn those_whom_a_policy_names_also_as_services_and_blocks() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "out-names";
    cluster.put_pods(ns, &PODS);
    let [client, server, other] = ["client", "server", "other"].map(|name| format!("{ns}/{name}"));
    let service = cluster.serve(Service::new("out-names", 91).of("out-names"), &server, "node-2");
    let world = world(&cluster);
    cluster.from(&[&client], cluster.at(&other)).answered_by(&[&other]);
    cluster
        .from(&[&client], world.clone())
        .over_tcp()
        .answered_by(&[OUTSIDE]);

    let isolated = json!({"matchLabels": {"name": "client"}});
    cluster.put(ns, "none", &json!({"podSelector": isolated, "policyTypes": ["Egress"]}));
    cluster.from(&[&client], cluster.at(&other)).lost();
    cluster.from(&[&client], cluster.at(&server)).lost();
    cluster.from(&[&client], service.cluster()).lost();
    cluster.from(&[&client], world.clone()).over_tcp().lost();
    // It answers nevertheless.
    cluster
        .from(&[&other, "node-1"], cluster.at(&client))
        .answered_by(&[&client]);

    let spec = json!({
        "podSelector": isolated, "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [{"podSelector": {"matchLabels": {"name": "server"}}}],
                "ports": [{"port": "http"}, {"port": PORTS[1], "protocol": "UDP"}],
            },
            {"to": [{"ipBlock": {"cidr": format!("{}/32", WORLD[0])}}, {"ipBlock": {"cidr": format!("{}/128", WORLD[1])}}]},
        ],
    });
    cluster.put(ns, "some", &spec);
    cluster.from(&[&client], cluster.at(&server)).answered_by(&[&server]);
    cluster.from(&[&client], service.cluster()).answered_by(&[&server]);
    cluster.from(&[&client], world).over_tcp().answered_by(&[OUTSIDE]);
    cluster.from(&[&client], cluster.at(&other)).lost();
}
