//! [`Cluster`]: a cluster that the real program translates, with a real `ovsdb-server`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ovsdb::testing::{OvsdbServer, northbound_schema};
use serde_json::Value;
use tokio::sync::MappedMutexGuard;

use crate::common::Daemon;
use crate::setting::own_name;
use crate::support::{Account, ControlPlane, Credentials, Objects, control_plane, eventually};

pub struct Cluster {
    pub objects: Objects,
    database: OvsdbServer,
    pub namespace: String,
    plane: MappedMutexGuard<'static, ControlPlane>,
}

impl Cluster {
    /// A node with room for three pods: of eight addresses five are network, router, host twice, and broadcast.
    pub async fn new() -> Option<Self> {
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

    /// With our CRDs.
    pub async fn with_crds() -> Option<Self> {
        let cluster = Self::new().await?;
        cluster.objects.install_crds().await;
        Some(cluster)
    }

    pub fn start(&self, account: &Account) -> Daemon {
        let kubeconfig = self.kubeconfig(account);
        let northbound = self.database.unix().to_string();
        Daemon::start(&[
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
            "--northbound",
            &northbound,
        ])
    }

    /// How somebody reaches the API.
    pub fn kubeconfig(&self, account: &Account) -> PathBuf {
        let name = account.user.rsplit(':').next().unwrap();
        self.plane.kubeconfig(name, &Credentials::Token(&account.token))
    }

    pub async fn pod(&self, name: &str, node: &str) -> Value {
        self.objects.pod(&self.namespace, name, node).await
    }

    /// Names of the pods that have a port.
    pub fn ports(&self) -> Vec<String> {
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

    pub async fn until_ports(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
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

    /// The events by the name of what they are about.
    pub async fn events(&self) -> BTreeMap<String, Vec<Value>> {
        let collection = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let all = self.objects.items(&collection).await.into_iter();
        // The API server has something to say of services as well.
        for event in all.filter(|event| event["reportingController"] == "meridian.dev/translator") {
            let about = event["regarding"]["name"].as_str().unwrap().to_owned();
            events.entry(about).or_default().push(event);
        }
        events
    }

    pub async fn until_events(&self, what: &str, wanted: impl Fn(&BTreeMap<String, Vec<Value>>) -> bool) {
        eventually(what, || async {
            let events = self.events().await;
            wanted(&events).then_some(()).ok_or(format!("{events:#?}"))
        })
        .await;
    }

    /// What somebody has written: verb and path, without the query.
    pub fn written_by(&self, account: &Account) -> Vec<String> {
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
