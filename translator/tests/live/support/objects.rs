//! Objects as JSON, made and unmade through the API.

use axum::http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::eventually;

pub const ADDRESS_POOLS: &str = "/apis/meridian.dev/v1alpha1/addresspools";
pub const VPCS: &str = "/apis/meridian.dev/v1alpha1/vpcs";
pub const SUBNETS: &str = "/apis/meridian.dev/v1alpha1/subnets";
pub const VPC_PEERINGS: &str = "/apis/meridian.dev/v1alpha1/vpcpeerings";
pub const SERVICE_CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Those whose CRDs are ours.
const OURS: [&str; 4] = [ADDRESS_POOLS, VPCS, VPC_PEERINGS, SUBNETS];

/// What somebody may do with objects.
#[derive(Clone)]
pub struct Objects(pub Client);

impl Objects {
    pub async fn get(&self, path: &str) -> kube::Result<Value> {
        self.send(Method::GET, path, "application/json", None).await
    }

    pub async fn create(&self, collection: &str, object: &Value) -> Value {
        let answer = self
            .send(Method::POST, collection, "application/json", Some(object))
            .await;
        answer.unwrap_or_else(|error| panic!("{collection}: {error}: {object}"))
    }

    /// An event about an object without a namespace, if there is one.
    pub async fn event_about(&self, object: &Value) -> Option<Value> {
        let mut events = (self.items("/apis/events.k8s.io/v1/namespaces/default/events").await).into_iter();
        events.find(|event| event["regarding"]["uid"] == object["metadata"]["uid"])
    }

    /// Creates an object unless it is there.
    pub async fn ensure(&self, collection: &str, object: &Value) {
        let answer = self
            .send(Method::POST, collection, "application/json", Some(object))
            .await;
        match answer {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            answer => drop(answer.unwrap_or_else(|error| panic!("{collection}: {error}: {object}"))),
        }
    }

    /// Removes what tests make: nodes, pods, services, networks of ClusterIPs, address pools, VPCs and peerings. Nobody
    /// finishes the removal of namespaces here.
    pub async fn clear(&self) {
        self.delete("/api/v1/nodes").await;
        for service in self.items("/api/v1/services").await {
            let text = |field| service["metadata"][field].as_str().unwrap();
            if text("name") != "kubernetes" {
                self.delete_service(text("namespace"), text("name")).await;
            }
        }
        for cidr in self.items(SERVICE_CIDRS).await {
            let name = cidr["metadata"]["name"].as_str().unwrap();
            if name != "kubernetes" {
                let path = format!("{SERVICE_CIDRS}/{name}");
                // Somebody waits for their addresses to be free.
                self.merge(&path, &json!({"metadata": {"finalizers": null}})).await;
                self.delete_if_there(&path).await;
            }
        }
        self.delete_if_there(ADDRESS_POOLS).await;
        self.delete_if_there(VPC_PEERINGS).await;
        self.remove_vpcs().await;
        for namespace in self.items("/api/v1/namespaces").await {
            let name = namespace["metadata"]["name"].as_str().unwrap();
            self.delete(&format!("/api/v1/namespaces/{name}/pods")).await;
        }
    }

    pub async fn merge(&self, path: &str, change: &Value) -> Value {
        let answer = self
            .send(Method::PATCH, path, "application/merge-patch+json", Some(change))
            .await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}: {change}"))
    }

    /// At once, without waiting for a kubelet that there is not.
    pub async fn delete(&self, path: &str) {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        let answer = self
            .send(Method::DELETE, path, "application/json", Some(&options))
            .await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    pub async fn delete_service(&self, namespace: &str, name: &str) {
        self.delete(&format!("/api/v1/namespaces/{namespace}/services/{name}"))
            .await;
    }

    async fn delete_if_there(&self, path: &str) {
        match self.send(Method::DELETE, path, "application/json", None).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => drop(answer.unwrap_or_else(|error| panic!("{path}: {error}"))),
        }
    }

    /// At once: the translator that would let them go has ended.
    async fn remove_vpcs(&self) {
        for kind in [SUBNETS, VPCS] {
            let objects = match self.get(kind).await {
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                list => list.unwrap_or_else(|error| panic!("{kind}: {error}")),
            };
            for object in objects["items"].as_array().unwrap() {
                let path = format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap());
                self.merge(&path, &json!({"metadata": {"finalizers": null}})).await;
                self.delete_if_there(&path).await;
            }
        }
    }

    /// Removes our CRDs with all there is of them, and waits until the API server knows them no more.
    pub async fn remove_crds(&self) {
        self.remove_vpcs().await;
        for kind in OURS {
            let plural = kind.rsplit('/').next().unwrap();
            self.delete_if_there(&format!("{CRDS}/{plural}.meridian.dev")).await;
            eventually("no CRD", || async {
                match self.get(kind).await {
                    Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                    answer => Err(format!("{answer:?}")),
                }
            })
            .await;
        }
    }

    /// Installs our CRDs unless they are there, and waits until the API server knows them.
    pub async fn install_crds(&self) {
        let output = crate::common::run(&["crds"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let crds: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        assert_eq!(crds.len(), OURS.len());
        for crd in &crds {
            self.ensure(CRDS, crd).await;
        }
        for kind in OURS {
            eventually("the CRD", || async {
                self.get(kind).await.map_err(|error| error.to_string())
            })
            .await;
        }
    }

    pub async fn address_pool(&self, name: &str, spec: &Value) {
        let pool = json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": name}, "spec": spec,
        });
        self.create(ADDRESS_POOLS, &pool).await;
    }

    pub async fn vpc(&self, name: &str, spec: &Value) -> Value {
        self.try_vpc(name, spec)
            .await
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"))
    }

    /// A VPC, or why the API server refuses it.
    pub async fn try_vpc(&self, name: &str, spec: &Value) -> Result<Value, String> {
        let vpc = json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc", "metadata": {"name": name}, "spec": spec,
        });
        self.try_create(VPCS, &vpc).await
    }

    /// An object, or why the API server refuses it.
    pub async fn try_create(&self, collection: &str, object: &Value) -> Result<Value, String> {
        let answer = self
            .send(Method::POST, collection, "application/json", Some(object))
            .await;
        answer.map_err(|error| error.to_string())
    }

    /// Changes an object, or says why the API server refuses that.
    pub async fn try_merge(&self, path: &str, change: &Value) -> Result<Value, String> {
        let answer = self
            .send(Method::PATCH, path, "application/merge-patch+json", Some(change))
            .await;
        answer.map_err(|error| error.to_string())
    }

    /// A Subnet, or why the API server refuses it.
    pub async fn try_subnet(&self, name: &str, spec: &Value) -> Result<Value, String> {
        let subnet = json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "Subnet", "metadata": {"name": name}, "spec": spec,
        });
        let answer = self
            .send(Method::POST, SUBNETS, "application/json", Some(&subnet))
            .await;
        answer.map_err(|error| error.to_string())
    }

    /// Changes the `spec` of a Subnet, or says why the API server refuses that.
    pub async fn try_change_subnet(&self, name: &str, spec: &Value) -> Result<Value, String> {
        let path = format!("{SUBNETS}/{name}");
        let change = json!({"spec": spec});
        let answer = self
            .send(Method::PATCH, &path, "application/merge-patch+json", Some(&change))
            .await;
        answer.map_err(|error| error.to_string())
    }

    pub async fn service(&self, namespace: &str, name: &str, spec: &Value) -> Value {
        let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        for (field, value) in spec.as_object().unwrap() {
            service["spec"][field] = value.clone();
        }
        self.create(&format!("/api/v1/namespaces/{namespace}/services"), &service)
            .await
    }

    pub async fn items(&self, collection: &str) -> Vec<Value> {
        let list = self
            .get(collection)
            .await
            .unwrap_or_else(|error| panic!("{collection}: {error}"));
        list["items"].as_array().unwrap().clone()
    }

    pub async fn namespace(&self, name: &str) {
        self.ensure("/api/v1/namespaces", &json!({"metadata": {"name": name}}))
            .await;
    }

    pub async fn node(&self, name: &str, cidrs: &[&str]) {
        let spec = json!({"podCIDRs": cidrs, "podCIDR": cidrs.first()});
        self.create("/api/v1/nodes", &json!({"metadata": {"name": name}, "spec": spec}))
            .await;
    }

    pub async fn pod(&self, namespace: &str, name: &str, node: &str) -> Value {
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i"}]});
        let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": spec});
        self.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod).await
    }

    /// What a kubelet would say of a pod.
    pub async fn pod_status(&self, namespace: &str, name: &str, status: &Value) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        self.merge(&path, &json!({"status": status})).await;
    }

    pub async fn delete_pod(&self, namespace: &str, name: &str) {
        self.delete(&format!("/api/v1/namespaces/{namespace}/pods/{name}"))
            .await;
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Option<&Value>) -> kube::Result<Value> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(body)
            .unwrap();
        self.0.request(request).await
    }
}
