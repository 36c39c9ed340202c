//! What every cluster has beside Kubernetes itself: names by CoreDNS, and addresses for load balancers.

use std::time::Duration;

use serde_json::json;

use super::control_plane::DOMAIN;
use crate::error::{Error, Result};
use crate::lab::Lab;

/// CoreDNS as a Deployment behind the service `kube-dns`.
const COREDNS: &str = include_str!("../../manifests/coredns.yaml");
/// Its image, without the tag.
const COREDNS_IMAGE: &str = "registry.k8s.io/coredns/coredns";

/// Applies CoreDNS.
pub(crate) fn apply(lab: &Lab) -> Result<()> {
    let services = lab.plan().service_cidrs();
    let ips: Vec<_> = services
        .iter()
        .filter_map(|net| Some(net.iter().nth(10)?.to_string()))
        .collect();
    let manifest = COREDNS
        .replace("${IMAGE}", &lab.distribution()?.image(COREDNS_IMAGE)?)
        .replace("${DOMAIN}", DOMAIN)
        .replace("${CLUSTER_IP}", &ips[0])
        .replace("${CLUSTER_IPS}", &json!(ips).to_string());
    lab.kubectl_apply(&manifest).map(drop)
}

/// Gives services of type LoadBalancer addresses of the node network, where Meridian announces them.
pub(crate) fn apply_pool(lab: &Lab) -> Result<()> {
    let kind = "customresourcedefinition/addresspools.meridian.dev";
    lab.kubectl(["wait", "--for=condition=Established", "--timeout=60s", kind])?;
    let pool = json!({
        "apiVersion": "meridian.dev/v1alpha1",
        "kind": "AddressPool",
        "metadata": { "name": "lab" },
        "spec": { "addresses": lab.plan().pool(), "announcement": {} },
    });
    lab.kubectl_apply(&pool.to_string()).map(drop)
}

/// Waits until CoreDNS answers; the failure says what its pods wait for.
pub(crate) fn await_dns(lab: &Lab, limit: Duration) -> Result<()> {
    let timeout = format!("--timeout={}s", limit.as_secs());
    let args = [
        "rollout",
        "status",
        "deployment/coredns",
        "--namespace=kube-system",
        &timeout,
    ];
    lab.kubectl(args).map(drop).map_err(|e| {
        let args = ["get", "pods,events", "--namespace=kube-system", "--output=wide"];
        let seen = lab.kubectl(args).unwrap_or_default();
        Error::State {
            what: format!("CoreDNS is not available: {e}\n{seen}"),
            next: "meridian-lab kubectl -- -n kube-system logs deployment/coredns".into(),
        }
    })
}
