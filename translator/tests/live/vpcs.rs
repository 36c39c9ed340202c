//! VPCs on a real API server: what it refuses, and what the real program says of them.

use serde_json::{Value, json};

use crate::translated::Cluster;

impl Cluster {
    /// With our CRDs.
    async fn with_vpcs() -> Option<Self> {
        let cluster = Self::new().await?;
        cluster.objects.install_crds().await;
        Some(cluster)
    }
}

fn spec(cidrs: &[&str]) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"vpc": "blue"}}, "podNetwork": {"cidrs": cidrs}})
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

#[tokio::test]
async fn the_api_server_refuses_vpcs_that_cannot_be() {
    let Some(c) = Cluster::with_vpcs().await else { return };
    let good = || spec(&["10.8.0.0/16", "fd00:8::/48"]);
    for (name, said) in [
        ("default", "default is the VPC of namespaces that no other selects"),
        ("default-a", "default is the VPC of namespaces that no other selects"),
        ("a.b", "the name of a VPC has at most 63 characters"),
        (&*"a".repeat(64), "the name of a VPC has at most 63 characters"),
    ] {
        let refusal = c.objects.try_vpc(name, &good()).await.unwrap_err();
        assert!(refusal.contains(said), "{name}: {refusal}");
    }
    let expression = |expression: Value| with(good(), "namespaceSelector", json!({"matchExpressions": [expression]}));
    let values = "In and NotIn need values";
    for (spec, said) in [
        (
            spec(&["10.8.0.0/16", "fd00:8::/48", "10.9.0.0/16"]),
            "must have at most 2 items",
        ),
        (spec(&[]), "should have at least 1 items"),
        (spec(&["10.8.0.0"]), "spec.podNetwork.cidrs[0]"),
        (
            with(good(), "podNetwork", json!({"cidrs": ["10.8.0.0/16"], "hostSlice": 30})),
            "spec.podNetwork.hostSlice",
        ),
        (with(good(), "egress", json!({"mode": "Nat"})), "spec.egress.mode"),
        (
            expression(json!({"key": "a", "operator": "Like", "values": ["b"]})),
            "operators are In, NotIn, Exists and DoesNotExist",
        ),
        (expression(json!({"key": "a", "operator": "In"})), values),
        (
            expression(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            values,
        ),
    ] {
        let refusal = c.objects.try_vpc("bad", &spec).await.unwrap_err();
        assert!(refusal.contains(said), "{spec}: {refusal}");
    }
}

#[tokio::test]
async fn the_network_of_a_vpc_stays_and_everything_else_of_it_may_change() {
    let Some(c) = Cluster::with_vpcs().await else { return };
    let made = c.objects.vpc("blue", &spec(&["10.8.0.0/16"])).await;
    assert_eq!(
        (
            &made["spec"]["podNetwork"],
            &made["spec"]["egress"],
            &made["spec"]["services"]
        ),
        (
            &json!({"cidrs": ["10.8.0.0/16"], "hostSlice": 24, "hostSliceIPv6": 64}),
            &json!({"mode": "Node"}),
            &json!({"shared": true})
        )
    );
    for network in [
        json!({"cidrs": ["10.9.0.0/16"]}),
        json!({"cidrs": ["10.8.0.0/16", "fd00:8::/48"]}),
        json!({"hostSlice": 25}),
    ] {
        let change = json!({"spec": {"podNetwork": network}});
        let refusal = c.objects.try_change_vpc("blue", &change).await.unwrap_err();
        assert!(
            refusal.contains("make another VPC, and move the namespaces"),
            "{refusal}"
        );
    }
    let selector = json!({
        "matchLabels": null, "matchExpressions": [{"key": "vpc", "operator": "In", "values": ["blue", "navy"]}],
    });
    let change = json!({"spec": {
        "namespaceSelector": selector, "egress": {"mode": "None"}, "services": {"shared": false},
    }});
    let changed = c.objects.try_change_vpc("blue", &change).await.unwrap();
    assert_eq!(changed["spec"]["egress"]["mode"], "None");
}
