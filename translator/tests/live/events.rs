//! Events on pods that cannot get an address, by the real program with a real `ovsdb-server`.

use std::collections::BTreeMap;

use ovsdb::testing::{OvsdbServer, northbound_schema};
use serde_json::Value;
use tokio::sync::MappedMutexGuard;

use crate::common::Daemon;
use crate::setting::own_name;
use crate::support::{Account, ControlPlane, Credentials, Objects, control_plane, eventually};

struct Cluster {
    objects: Objects,
    database: OvsdbServer,
    namespace: String,
    plane: MappedMutexGuard<'static, ControlPlane>,
}

impl Cluster {
    /// A node with room for three pods: of eight addresses five are network, router, host twice, and broadcast.
    async fn new() -> Option<Self> {
        let plane = control_plane().await?;
        let objects = Objects(plane.admin().await);
        // Events stay for an hour.
        let namespace = own_name();
        objects.namespace(&namespace).await;
        objects.node("small", &["10.244.0.0/29"]).await;
        Some(Self {
            objects,
            database: OvsdbServer::start(&[&northbound_schema()]),
            namespace,
            plane,
        })
    }

    fn start(&self, account: &Account) -> Daemon {
        let name = account.user.rsplit(':').next().unwrap();
        let kubeconfig = self.plane.kubeconfig(name, &Credentials::Token(&account.token));
        let northbound = self.database.unix().to_string();
        Daemon::start(&[
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
            "--northbound",
            &northbound,
        ])
    }

    async fn pod(&self, name: &str, node: &str) -> Value {
        self.objects.pod(&self.namespace, name, node).await
    }

    /// Names of the pods that have a port.
    fn ports(&self) -> Vec<String> {
        let query = r#"["OVN_Northbound",{"op":"select","table":"Logical_Switch_Port","where":[],"columns":["name"]}]"#;
        let answer: Value = serde_json::from_str(&self.database.client("transact", &[query])).unwrap();
        let rows = answer[0]["rows"].as_array().unwrap();
        let names = rows.iter().map(|row| row["name"].as_str().unwrap());
        let prefix = format!("{}_", self.namespace);
        let mut pods: Vec<_> = names
            .filter_map(|name| name.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect();
        pods.sort();
        pods
    }

    async fn until_ports(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        eventually("ports", || async {
            let ports = self.ports();
            if wanted(&ports) {
                Ok(ports)
            } else {
                Err(format!("{ports:?}"))
            }
        })
        .await
    }

    /// The events by the pod they are about.
    async fn events(&self) -> BTreeMap<String, Vec<Value>> {
        let collection = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for event in self.objects.items(&collection).await {
            let pod = event["regarding"]["name"].as_str().unwrap().to_owned();
            events.entry(pod).or_default().push(event);
        }
        events
    }

    async fn until_events(&self, what: &str, wanted: impl Fn(&BTreeMap<String, Vec<Value>>) -> bool) {
        eventually(what, || async {
            let events = self.events().await;
            wanted(&events).then_some(()).ok_or(format!("{events:#?}"))
        })
        .await;
    }

    /// What somebody has written: verb and path, without the query.
    fn written_by(&self, account: &Account) -> Vec<String> {
        let asked = self.plane.asked_by(&account.user);
        let changes = asked
            .iter()
            .filter(|entry| !matches!(entry["verb"].as_str(), Some("get" | "list" | "watch")));
        changes
            .map(|entry| {
                let uri = entry["requestURI"].as_str().unwrap();
                format!("{} {}", entry["verb"].as_str().unwrap(), uri.split('?').next().unwrap())
            })
            .collect()
    }
}

#[tokio::test]
async fn a_pod_without_an_address_has_an_event_that_says_why_and_a_healthy_pod_has_none() {
    let Some(c) = Cluster::new().await else { return };
    let account = Account::translator(&c.objects, &own_name()).await;
    let _daemon = c.start(&account);
    for n in 0..5 {
        c.pod(&format!("p{n}"), "small").await;
    }
    let lost = c.pod("lost", "nowhere").await;
    c.until_events("three events", |events| events.len() == 3).await;
    let healthy = c.until_ports(|ports| ports.len() == 3).await;
    let events = c.events().await;
    assert!(healthy.iter().all(|pod| !events.contains_key(pod)), "{events:#?}");
    let [event] = &events["lost"][..] else {
        panic!("{events:#?}")
    };
    for (field, expected) in [
        ("/type", "Warning"),
        ("/reason", "FailedAddressAllocation"),
        ("/action", "AllocateAddress"),
        ("/reportingController", "meridian.dev/translator"),
        ("/regarding/kind", "Pod"),
        ("/regarding/uid", lost["metadata"]["uid"].as_str().unwrap()),
        (
            "/note",
            "node nowhere does not exist: the pod gets its port once the node has joined",
        ),
    ] {
        assert_eq!(event.pointer(field).unwrap(), expected, "{field} of {event:#}");
    }
    let waiting = events.iter().find(|(pod, _)| *pod != "lost").unwrap().1;
    let note = waiting[0]["note"].as_str().unwrap();
    assert!(note.starts_with("node small has no free address: "), "{note}");
    assert!(note.contains("give the node a larger podCIDR"), "{note}");
    // Three events, and nothing else.
    let created = format!("create /apis/events.k8s.io/v1/namespaces/{}/events", c.namespace);
    assert_eq!(c.written_by(&account), [&*created; 3]);
}

#[tokio::test]
async fn a_new_leader_goes_on_with_the_events_of_the_old_one_and_says_no_more_of_what_is_solved() {
    let Some(c) = Cluster::new().await else { return };
    let (first, second) = (
        Account::translator(&c.objects, &own_name()).await,
        Account::translator(&c.objects, &own_name()).await,
    );
    let leader = c.start(&first);
    eventually("a leader", || async {
        leader.is_ready().then_some(()).ok_or(String::new())
    })
    .await;
    let standby = c.start(&second);
    for n in 0..4 {
        c.pod(&format!("p{n}"), "small").await;
    }
    c.pod("lost", "nowhere").await;
    c.until_events("two events", |events| events.len() == 2).await;
    eventually("a standby", || async {
        standby.is_ready().then_some(()).ok_or(String::new())
    })
    .await;
    assert_eq!(c.written_by(&second), [""; 0]);

    let ports = c.until_ports(|ports| ports.len() == 3).await;
    let waiting = (0..5)
        .map(|n| format!("p{n}"))
        .find(|pod| !ports.contains(pod))
        .unwrap();
    c.objects.delete_pod(&c.namespace, &ports[0]).await;
    c.until_ports(|ports| ports.contains(&waiting)).await;
    drop(leader);
    c.until_events("the event again", |events| events["lost"][0]["series"]["count"] == 2)
        .await;
    let events = c.events().await;
    assert_eq!((events["lost"].len(), events[&waiting].len()), (1, 1), "{events:#?}");
    assert!(events[&waiting][0]["series"].is_null(), "{events:#?}");
    let written = c.written_by(&second);
    assert!(written.iter().all(|change| !change.contains(&waiting)), "{written:?}");
}

#[tokio::test]
async fn events_that_may_not_be_written_stop_nothing() {
    let Some(c) = Cluster::new().await else { return };
    let account = Account::reader(&c.objects, &own_name()).await;
    let daemon = c.start(&account);
    c.pod("lost", "nowhere").await;
    eventually("an attempt", || async {
        let written = c.written_by(&account);
        (!written.is_empty())
            .then_some(())
            .ok_or(format!("{:?}", daemon.get("/status")))
    })
    .await;
    c.pod("web", "small").await;
    c.until_ports(|ports| ports == ["web"]).await;
    assert_eq!(daemon.get("/readyz").unwrap().0, 200);
    let (code, log) = daemon.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("grant get of pods, and create and patch of events"),
        "{log}"
    );
}
