//! Policies of the whole cluster: what an administrator decides before and after policies of namespaces, with real packets.

use serde_json::{Value, json};

use crate::cluster::{object, shared};

const PODS: [(&str, &str); 3] = [("server", "node-1"), ("friend", "node-2"), ("stranger", "node-3")];

/// Of the namespace `ns` alone: others have tests beside this one.
fn policy(name: &str, tier: &str, priority: u16, ns: &str, ingress: &Value) -> meridian_lab::cluster::object::Object {
    let subject = json!({"pods": {"namespaceSelector": {"matchLabels": {"name": ns}}, "podSelector": {"matchLabels": {"name": "server"}}}});
    object(&json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": name},
        "spec": {"tier": tier, "priority": priority, "subject": subject, "ingress": ingress},
    }))
}

/// A pod of the namespace, as a peer.
fn of(ns: &str, name: &str) -> Value {
    json!({"pods": {"namespaceSelector": {"matchLabels": {"name": ns}}, "podSelector": {"matchLabels": {"name": name}}}})
}

#[test]
fn tiers_decide_in_order_and_what_is_passed_on_is_for_the_next_one() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "tiers";
    cluster.put_pods(ns, &PODS);
    let [server, friend, stranger] = ["server", "friend", "stranger"].map(|name| format!("{ns}/{name}"));
    let clients = [&*friend, &*stranger];
    let (at, everybody) = (cluster.at(&server), json!([{"namespaces": {}}]));

    // The last word, where no policy has any other.
    cluster.apply(vec![policy(
        "base",
        "Baseline",
        5,
        ns,
        &json!([{"action": "Deny", "from": everybody}]),
    )]);
    cluster.from(&clients, at.clone()).lost();
    cluster.from(&["node-1"], at.clone()).answered_by(&[&server]);
    // A policy of the namespace goes before it.
    let allow = json!({
        "podSelector": {"matchLabels": {"name": "server"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"name": "stranger"}}}]}],
    });
    cluster.put(ns, "strangers", &allow);
    cluster.from(&[&stranger], at.clone()).answered_by(&[&server]);
    cluster.from(&[&friend], at.clone()).lost();
    // And an administrator before that.
    let rules = json!([{"action": "Accept", "from": [of(ns, "friend")]}, {"action": "Deny", "from": everybody}]);
    cluster.apply(vec![policy("guard", "Admin", 20, ns, &rules)]);
    cluster.from(&[&friend], at.clone()).answered_by(&[&server]);
    cluster.from(&[&stranger], at.clone()).lost();
    // Whatever he passes on is the namespace's to decide again.
    let pass = json!([{"action": "Pass", "from": everybody}]);
    cluster.apply(vec![policy("pass", "Admin", 10, ns, &pass)]);
    cluster.from(&[&stranger], at.clone()).answered_by(&[&server]);
    cluster.from(&[&friend], at.clone()).lost();
    cluster.delete("NetworkPolicy", ns, "strangers");
    cluster.from(&clients, at.clone()).lost();
    for name in ["base", "pass", "guard"] {
        cluster.delete("ClusterNetworkPolicy", "", name);
    }
    cluster.from(&clients, at).answered_by(&[&server]);
}
