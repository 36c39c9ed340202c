//! Writing the status of services and pools.

use k8s_openapi::api::core::v1 as core;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Resource};
use meridian_api::address_pool::AddressPool;
use meridian_model::ServiceKey;
use serde_json::Value;

use super::service::Entry;
use crate::upkeep::{Refusal, ask};

/// What all of it takes.
const RIGHTS: &str = "patch of services/status, and of addresspools/status in meridian.dev,";

/// Patches a service's status; what it is like then is the answer.
pub(super) async fn service(client: &Client, key: &ServiceKey, patch: &Value) -> Result<Entry, Refusal> {
    let request =
        services(key).patch_subresource("status", &key.name, &PatchParams::default(), &Patch::Strategic(patch));
    ask(client, request, RIGHTS).await
}

/// Reads a service.
pub(super) async fn read(client: &Client, key: &ServiceKey) -> Result<Entry, Refusal> {
    let request = services(key).get(&key.name, &kube::api::GetParams::default());
    ask(client, request, RIGHTS).await
}

/// Patches a pool's status.
pub(super) async fn pool(client: &Client, name: &str, patch: &Value) -> Result<(), Refusal> {
    let pools = Request::new(AddressPool::url_path(&(), None));
    let request = pools.patch_subresource("status", name, &PatchParams::default(), &Patch::Merge(patch));
    ask::<Value>(client, request, RIGHTS).await.map(drop)
}

fn services(key: &ServiceKey) -> Request {
    Request::new(core::Service::url_path(&(), Some(&key.namespace)))
}
