//! Objects as JSON, made and unmade through the API.

use axum::http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

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

    /// Removes what tests make: nodes and pods. Nobody finishes the removal of namespaces here.
    pub async fn clear(&self) {
        self.delete("/api/v1/nodes").await;
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
