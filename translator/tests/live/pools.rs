//! Addresses for services out of pools, by the real program.

use serde_json::{Value, json};

use crate::setting::own_name;
use crate::support::{ADDRESS_POOLS, Account, eventually};
use crate::translated::Cluster;

impl Cluster {
    /// With a pool of two addresses.
    async fn with_pool() -> Option<Self> {
        let cluster = Self::new().await?;
        cluster.objects.install_crds().await;
        let spec = json!({"addresses": ["198.51.100.1-198.51.100.2"]});
        cluster.objects.address_pool("public", &spec).await;
        Some(cluster)
    }

    async fn balanced(&self, name: &str, spec: &Value) {
        let mut wanted = json!({"type": "LoadBalancer", "ipFamilies": ["IPv4"]});
        wanted
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        self.objects.service(&self.namespace, name, &wanted).await;
    }

    fn path(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/services/{name}", self.namespace)
    }

    async fn status(&self, name: &str) -> Value {
        self.objects.get(&self.path(name)).await.unwrap()["status"].clone()
    }

    async fn until_status(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("the status of {name}"), || async {
            let status = self.status(name).await;
            if wanted(&status) {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        })
        .await
    }

    async fn until_address(&self, name: &str, address: &str) -> Value {
        let wanted = json!([{"ip": address, "ipMode": "VIP"}]);
        self.until_status(name, |status| status["loadBalancer"]["ingress"] == wanted)
            .await
    }

    /// Reason and status of our condition.
    async fn until_condition(&self, name: &str, reason: &str, is: &str) {
        self.until_status(name, |status| {
            let condition = &status["conditions"][0];
            condition["reason"] == reason && condition["status"] == is
        })
        .await;
    }

    async fn until_pool(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        eventually(what, || async {
            let pool = self.objects.get(&format!("{ADDRESS_POOLS}/public")).await.unwrap();
            wanted(&pool["status"]).then_some(()).ok_or(pool.to_string())
        })
        .await;
    }
}

#[tokio::test]
async fn services_get_addresses_and_keep_them_over_a_restart() {
    let Some(c) = Cluster::with_pool().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    c.balanced("foreign", &json!({"loadBalancerClass": "example.com/lb"}))
        .await;
    c.balanced("web", &json!({})).await;
    let daemon = c.start(&account);
    c.until_address("web", "198.51.100.1").await;
    c.until_condition("web", "Allocated", "True").await;
    c.balanced("api", &json!({"loadBalancerClass": "meridian.dev/address-pool"}))
        .await;
    c.until_address("api", "198.51.100.2").await;
    c.until_pool("a pool without free addresses", |status| {
        status["ipv4"] == json!({"total": 2, "allocated": 2, "free": 0}) && status["conditions"][0]["status"] == "True"
    })
    .await;
    let written = c.written_by(&account).len();
    drop(daemon);
    let daemon = c.start(&account);
    eventually("a leader", || async {
        daemon.is_ready().then_some(()).ok_or(String::new())
    })
    .await;
    // Another change, after which all that could be written has been.
    c.objects.delete_service(&c.namespace, "web").await;
    c.balanced("late", &json!({})).await;
    c.until_address("late", "198.51.100.1").await;
    c.until_address("api", "198.51.100.2").await;
    let written = c.written_by(&account).split_off(written);
    let services = written.iter().filter(|change| change.contains("/services/"));
    assert_eq!(services.count(), 1, "{written:?}");
    assert_eq!(c.status("foreign").await, json!({"loadBalancer": {}}));
}

#[tokio::test]
async fn a_service_that_finds_no_address_is_told_why_and_served_when_one_is_free() {
    let Some(c) = Cluster::with_pool().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    for name in ["a", "b"] {
        c.balanced(name, &json!({})).await;
    }
    let _daemon = c.start(&account);
    c.until_address("b", "198.51.100.2").await;
    c.balanced("waits", &json!({})).await;
    c.until_condition("waits", "AddressPoolExhausted", "False").await;
    c.until_events("the event", |events| events.contains_key("waits")).await;
    let event = &c.events().await["waits"][0];
    assert_eq!(
        (&event["reason"], &event["regarding"]["kind"], &event["type"]),
        (&json!("AddressPoolExhausted"), &json!("Service"), &json!("Warning")),
        "{event:#}"
    );
    let note = event["note"].as_str().unwrap();
    assert!(note.starts_with("no IPv4 address is free in public: "), "{note}");
    // One that wants no address any more loses it, and nothing of it is left.
    c.objects
        .merge(&c.path("a"), &json!({"spec": {"type": "ClusterIP"}}))
        .await;
    c.until_address("waits", "198.51.100.1").await;
    c.until_status("a", |status| *status == json!({"loadBalancer": {}}))
        .await;
    // A pool that goes takes its addresses with it.
    c.objects
        .address_pool("other", &json!({"addresses": ["203.0.113.7"]}))
        .await;
    c.objects.delete(&format!("{ADDRESS_POOLS}/public")).await;
    c.until_address("b", "203.0.113.7").await;
    c.until_condition("waits", "AddressPoolExhausted", "False").await;
    c.until_events("what was lost", |events| {
        let lost = |name: &str| {
            events
                .get(name)
                .into_iter()
                .flatten()
                .any(|event| event["reason"] == "AddressLost")
        };
        lost("b") && lost("waits")
    })
    .await;
    assert_eq!(c.status("waits").await["loadBalancer"], json!({}));
}

#[tokio::test]
async fn a_pool_that_makes_no_sense_says_so_and_what_may_not_be_written_is_a_problem() {
    let Some(c) = Cluster::with_pool().await else { return };
    let bad = json!({"addresses": ["10.244.0.0/30", "10.244.0.300"]});
    c.objects.address_pool("pods", &bad).await;
    let account = Account::reader(&c.objects, &own_name()).await;
    let daemon = c.start(&account);
    c.balanced("web", &json!({})).await;
    eventually("the problem", || async {
        let (_, status) = daemon.get("/status").ok_or("no answer")?;
        let found = status.contains("grant patch of services/status") && status.contains("addresspool/pods");
        found.then_some(()).ok_or(status)
    })
    .await;
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    drop(daemon);
    let account = Account::translator(&c.objects, &own_name()).await;
    let _daemon = c.start(&account);
    c.until_address("web", "198.51.100.1").await;
    eventually("the condition", || async {
        let pool = c.objects.get(&format!("{ADDRESS_POOLS}/pods")).await.unwrap();
        let condition = &pool["status"]["conditions"][0];
        let message = condition["message"].as_str().unwrap_or_default();
        let told = condition["reason"] == "Conflict" && message.contains("10.244.0.0/16 of --cluster-cidr");
        told.then_some(()).ok_or(pool.to_string())
    })
    .await;
}
