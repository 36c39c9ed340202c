//! Subnets on a real API server: what it refuses, and what the real program says of them.

use meridian_api::subnet::FINALIZER;
use serde_json::{Value, json};

use crate::setting::own_name;
use crate::support::{Account, SUBNETS, eventually};
use crate::translated::Cluster;

async fn cluster() -> Option<Cluster> {
    let cluster = Cluster::new().await?;
    cluster.objects.install_crds().await;
    Some(cluster)
}

async fn until(c: &Cluster, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || async {
        let subnet = c.objects.get(&format!("{SUBNETS}/vms")).await.unwrap();
        if wanted(&subnet) {
            Ok(subnet)
        } else {
            Err(subnet.to_string())
        }
    })
    .await
}

/// Status and reason of a condition.
fn condition(subnet: &Value, of: &str) -> String {
    let conditions = subnet["status"]["conditions"].as_array();
    let condition = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == of));
    let text = |field: &str| condition.and_then(|found| found[field].as_str()).unwrap_or_default();
    format!("{} {}", text("status"), text("reason"))
}

#[tokio::test]
async fn the_api_server_refuses_subnets_that_cannot_be_and_keeps_what_is_for_good() {
    let Some(c) = cluster().await else { return };
    let good = json!({"vpc": "blue", "cidrs": ["10.20.0.0/24"]});
    let with = |field: &str, value: Value| {
        let mut spec = good.clone();
        spec[field] = value;
        spec
    };
    for (name, spec, said) in [
        ("a.b", good.clone(), "the name of a Subnet has at most 63 characters"),
        ("s", with("vpc", json!("default")), "the VPC default has no Subnets"),
        ("s", with("cidrs", json!([])), "should have at least 1 items"),
        ("s", with("gateways", json!(["gateway"])), "spec.gateways[0]"),
        ("s", with("dhcp", json!({"leaseTime": 1})), "spec.dhcp.leaseTime"),
        ("s", with("dhcp", json!({"domainName": "\""})), "spec.dhcp.domainName"),
    ] {
        let refusal = c.objects.try_subnet(name, &spec).await.unwrap_err();
        assert!(refusal.contains(said), "{spec}: {refusal}");
    }
    c.objects.try_subnet("vms", &good).await.unwrap();
    for (change, said) in [
        (json!({"vpc": "green"}), "pods are in the VPC"),
        (
            json!({"cidrs": ["10.21.0.0/24"]}),
            "pods have addresses of the networks",
        ),
        (json!({"gateways": ["10.20.0.9"]}), "pods know the gateways"),
    ] {
        let refusal = c.objects.try_change_subnet("vms", &change).await.unwrap_err();
        assert!(refusal.contains(said), "{change}: {refusal}");
    }
    let change = json!({"reservedRanges": ["10.20.0.16/28"], "dhcp": {"enabled": true}});
    c.objects.try_change_subnet("vms", &change).await.unwrap();
}

#[tokio::test]
async fn a_subnet_says_what_becomes_of_it_and_stays_until_no_pod_is_in_it() {
    let Some(c) = cluster().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    let _program = c.start(&account);
    c.objects
        .try_subnet("vms", &json!({"vpc": "blue", "cidrs": ["10.20.0.0/29"]}))
        .await
        .unwrap();
    until(&c, "it waits for its VPC", |subnet| {
        condition(subnet, "Ready") == "False Waiting"
    })
    .await;
    c.objects
        .vpc(
            "blue",
            &json!({"namespaceSelector": {}, "podNetwork": {"cidrs": ["10.8.0.0/16"]}}),
        )
        .await;
    until(&c, "it is ready", |subnet| {
        condition(subnet, "Ready") == "True Ready"
            && subnet["metadata"]["finalizers"] == json!([FINALIZER])
            && subnet["status"]["addresses"] == json!([{"cidr": "10.20.0.0/29", "used": 0, "free": 5}])
    })
    .await;
    c.objects.node("n1", &["10.244.0.0/24"]).await;
    c.objects.namespace("shop").await;
    c.objects.pod("shop", "vm", "n1").await;
    let pod = "/api/v1/namespaces/shop/pods/vm";
    let annotations = json!({"metadata": {"annotations": {"meridian.dev/subnet": "vms"}}});
    c.objects.merge(pod, &annotations).await;
    until(&c, "the pod is in it", |subnet| {
        subnet["status"]["pods"] == 1 && subnet["status"]["addresses"][0]["used"] == 1
    })
    .await;
    c.objects
        .pod_status(
            "shop",
            "vm",
            &json!({"podIPs": [{"ip": "10.20.0.2"}], "podIP": "10.20.0.2"}),
        )
        .await;
    c.objects.delete(&format!("{SUBNETS}/vms")).await;
    until(&c, "it says who keeps it", |subnet| {
        condition(subnet, "InUse") == "True Pods" && condition(subnet, "Ready") == "False Deleting"
    })
    .await;
    c.objects.delete_pod("shop", "vm").await;
    eventually("it is gone", || async {
        match c.objects.get(&format!("{SUBNETS}/vms")).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
}
