//! ServiceAccounts of translators.

use serde_json::json;

use super::Objects;

const NAMESPACE: &str = "meridian-system";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// A ServiceAccount.
#[derive(Clone, Debug)]
pub struct Account {
    /// How the API server calls it.
    pub user: String,
    /// A token for it.
    pub token: String,
    path: String,
}

impl Account {
    /// One that may do what a translator may.
    pub async fn translator(objects: &Objects, name: &str) -> Self {
        let account = Self::reader(objects, name).await;
        let rules = json!([
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
            {"apiGroups": [""], "resources": ["services/status"], "verbs": ["patch"]},
            {"apiGroups": ["meridian.dev"], "resources": ["addresspools/status", "vpcs", "vpcs/status", "vpcpeerings/status", "subnets", "subnets/status"], "verbs": ["patch"]},
        ]);
        objects.grant(&account.user, "translator-writes", &rules).await;
        account
    }

    /// One that may read what a translator reads.
    pub async fn reader(objects: &Objects, name: &str) -> Self {
        let account = Self::new(objects, name).await;
        objects.grant_reading(&account.user).await;
        account
    }

    /// One that may do nothing.
    pub async fn new(objects: &Objects, name: &str) -> Self {
        objects.namespace(NAMESPACE).await;
        let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        let path = format!("{accounts}/{name}");
        objects.ensure(&accounts, &json!({"metadata": {"name": name}})).await;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = objects.create(&format!("{path}/token"), &request).await;
        Self {
            user: format!("system:serviceaccount:{NAMESPACE}:{name}"),
            token: answer["status"]["token"].as_str().unwrap().to_owned(),
            path,
        }
    }

    /// Deletes it: its tokens are no good any more.
    pub async fn delete(self, objects: &Objects) {
        objects.delete(&self.path).await;
    }
}

impl Objects {
    /// Lets a user read what a translator reads.
    pub async fn grant_reading(&self, user: &str) {
        let (follow, get) = (["list", "watch"], ["get"]);
        let of_cluster = [
            "clusternetworkpolicies",
            "adminnetworkpolicies",
            "baselineadminnetworkpolicies",
        ];
        let rules = json!([
            {"apiGroups": [""], "resources": ["nodes", "namespaces", "pods", "services"], "verbs": follow},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": follow},
            {"apiGroups": ["networking.k8s.io"], "resources": ["servicecidrs", "networkpolicies"], "verbs": follow},
            {"apiGroups": ["policy.networking.k8s.io"], "resources": of_cluster, "verbs": follow},
            {"apiGroups": ["meridian.dev"], "resources": ["addresspools", "vpcs", "vpcpeerings", "subnets"], "verbs": follow},
            {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": follow},
            {"apiGroups": [""], "resources": ["pods", "services"], "verbs": get},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": get},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": get},
            {"apiGroups": ["policy.networking.k8s.io"], "resources": of_cluster, "verbs": get},
            {"apiGroups": ["meridian.dev"], "resources": ["vpcs", "vpcpeerings", "subnets"], "verbs": get},
        ]);
        self.grant(user, "translator-reads", &rules).await;
    }

    async fn grant(&self, user: &str, role: &str, rules: &serde_json::Value) {
        let made = json!({"metadata": {"name": role}, "rules": rules});
        self.ensure(&format!("{RBAC}/clusterroles"), &made).await;
        let binding = json!({
            "metadata": {"name": format!("{role}:{user}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        self.ensure(&format!("{RBAC}/clusterrolebindings"), &binding).await;
    }
}
