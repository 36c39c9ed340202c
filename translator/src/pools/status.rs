//! What the status of services and pools is to say, as patches of what it says.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use meridian_api::address_pool::{ALLOCATED, AddressPool, AddressPoolStatus, READY, Usage};
use serde_json::{Value, json};

use super::family::Family;
use super::plan::{Decision, Plan, Verdict};
use super::pool::{Fault, Pools};
use super::service::{self, Service};
use crate::upkeep::{self, shortened};

/// A strategic merge patch that makes a service's status what was decided; none if it is that already.
pub(super) fn of_service(service: &Service, decision: &Decision) -> Option<Value> {
    let mut status = json!({});
    if !has(service, &decision.addresses) {
        let ingress = decision.addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"}));
        status["loadBalancer"] = json!({"ingress": ingress.collect::<Vec<_>>()});
    }
    match (&decision.verdict, &service.condition) {
        (Verdict::Released, None) => {}
        (Verdict::Released, Some(_)) => {
            status["conditions"] = json!([{"$patch": "delete", "type": ALLOCATED}]);
        }
        (verdict, condition) => {
            let (is, reason, message) = told(verdict);
            let same = |now: &service::Condition| now.status == is && now.reason == reason && now.message == message;
            if !condition.as_ref().is_some_and(same) {
                let since = condition.as_ref().filter(|now| now.status == is).map(|now| &*now.since);
                let since = since.map_or_else(|| json!(Time(Timestamp::now())), |since| json!(since));
                status["conditions"] = json!([{
                    "type": ALLOCATED, "status": text(is), "reason": reason, "message": message, "lastTransitionTime": since,
                }]);
            }
        }
    }
    let differs = status.as_object().is_some_and(|status| !status.is_empty());
    // Whoever has written meanwhile has perhaps written what this was decided by.
    differs.then(|| json!({"metadata": {"resourceVersion": service.version}, "status": status}))
}

/// Whether an address goes from the status of a service.
pub(super) fn frees(service: &Service, decision: &Decision) -> bool {
    service.held().any(|address| !decision.addresses.contains(&address))
}

fn has(service: &Service, addresses: &[IpAddr]) -> bool {
    let virtual_ips = service.ingress.iter().all(|ingress| ingress.virtual_ip);
    virtual_ips && service.ingress.len() == addresses.len() && service.held().eq(addresses.iter().copied())
}

fn told(verdict: &Verdict) -> (bool, &str, String) {
    match verdict {
        Verdict::Served(pools) => (true, "Allocated", format!("from {}", pools.join(", "))),
        Verdict::Waits(trouble) => (false, trouble.reason, shortened(&trouble.message)),
        Verdict::Released => (false, "Released", String::new()),
    }
}

fn text(is: bool) -> &'static str {
    if is { "True" } else { "False" }
}

/// How full a pool is; none if it has no such addresses.
pub(super) fn usage(family: Family, at: usize, pools: &Pools, plan: &Plan) -> Option<Usage> {
    let total = pools.list[at].size(family);
    let (given, blocked) = (
        plan.given.get(at).map_or(0, |given| given[family.index()]),
        plan.blocked.get(at).map_or(0, |blocked| blocked[family.index()]),
    );
    let number = |count: u128| i64::try_from(count).unwrap_or(i64::MAX);
    (total > 0).then(|| Usage {
        total: number(total),
        allocated: number(given),
        free: number(total.saturating_sub(given).saturating_sub(blocked)),
    })
}

/// A merge patch that makes a pool's status what it is to be; none if it is that already.
pub(super) fn of_pool(
    pool: &AddressPool,
    at: usize,
    pools: &Pools,
    plan: &Plan,
    found: Option<Fault>,
) -> Option<Value> {
    let known = &pools.list[at];
    let usage = |family| usage(family, at, pools, plan);
    let (ipv4, ipv6) = (usage(Family::V4), usage(Family::V6));
    let full = [&ipv4, &ipv6].into_iter().flatten().all(|usage| usage.free == 0);
    let (is, reason, message) = match known.fault.clone().or(found) {
        Some(fault) => (false, fault.reason, fault.message),
        None if full => (
            true,
            "Exhausted",
            "every address is given: add some before the next service needs one".to_owned(),
        ),
        None => (true, "Available", "services get addresses out of it".to_owned()),
    };
    let ready = upkeep::Verdict { is, reason, message };
    let now = pool.status.clone().unwrap_or_default();
    let mut conditions = now.conditions.clone();
    upkeep::set(&mut conditions, READY, &ready, pool.metadata.generation);
    let wanted = AddressPoolStatus { ipv4, ipv6, conditions };
    (wanted != now).then(|| {
        let status = json!({"ipv4": wanted.ipv4, "ipv6": wanted.ipv6, "conditions": wanted.conditions});
        json!({"metadata": {"resourceVersion": pool.metadata.resource_version}, "status": status})
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pools::plan::Trouble;
    use crate::pools::pool::Reserved;
    use crate::pools::service::Entry;

    fn service(status: &Value) -> Service {
        let service = json!({
            "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "7"},
            "spec": {"type": "LoadBalancer"}, "status": status,
        });
        Entry::read(&service).service.unwrap()
    }

    fn decided(addresses: &[&str], verdict: Verdict) -> Decision {
        Decision {
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            verdict,
            lost: Vec::new(),
        }
    }

    fn served() -> Verdict {
        Verdict::Served(vec!["public".into()])
    }

    #[test]
    fn what_was_decided_is_written_with_the_version_it_was_decided_by() {
        let patch = of_service(&service(&json!({})), &decided(&["198.51.100.1"], served())).unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let ingress = json!([{"ip": "198.51.100.1", "ipMode": "VIP"}]);
        assert_eq!(patch["status"]["loadBalancer"]["ingress"], ingress);
        let condition = &patch["status"]["conditions"][0];
        assert_eq!(
            (&condition["status"], &condition["message"]),
            (&json!("True"), &json!("from public"))
        );
    }

    #[test]
    fn what_is_so_already_is_not_written_also_where_the_server_knows_no_mode() {
        let condition = json!({"type": ALLOCATED, "status": "True", "reason": "Allocated", "message": "from public"});
        for ingress in [
            json!({"ip": "198.51.100.1"}),
            json!({"ip": "198.51.100.1", "ipMode": "VIP"}),
        ] {
            let status = json!({"loadBalancer": {"ingress": [ingress]}, "conditions": [condition]});
            assert_eq!(
                of_service(&service(&status), &decided(&["198.51.100.1"], served())),
                None
            );
        }
    }

    #[test]
    fn a_condition_changes_its_time_only_with_its_status() {
        let condition =
            json!({"type": ALLOCATED, "status": "False", "reason": "AddressInUse", "lastTransitionTime": "then"});
        let status = json!({"conditions": [condition]});
        let trouble = Trouble {
            reason: "AddressPoolExhausted",
            message: "no".into(),
        };
        let since = |verdict| {
            let patch = of_service(&service(&status), &decided(&[], verdict)).unwrap();
            patch["status"]["conditions"][0]["lastTransitionTime"].clone()
        };
        assert_eq!(since(Verdict::Waits(trouble)), "then");
        assert_ne!(since(served()), "then");
    }

    #[test]
    fn a_pools_condition_is_written_beside_those_of_others_and_over_no_later_version() {
        let pool = |conditions: Value| -> AddressPool {
            let metadata = json!({"name": "public", "resourceVersion": "7"});
            let spec = json!({"addresses": ["198.51.100.1"]});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": {"conditions": conditions}}))
                .unwrap()
        };
        let status = |pool: &AddressPool| {
            let pools = Pools::new([("public", Ok(pool))], &Reserved::default());
            of_pool(pool, 0, &pools, &Plan::default(), None)
        };
        let other = json!({"type": "Audited", "status": "True", "reason": "ByHand", "message": "",
                           "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let patch = status(&pool(json!([other]))).unwrap();
        assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
        let conditions = &patch["status"]["conditions"];
        assert_eq!((&conditions[0], &conditions[1]["type"]), (&other, &json!(READY)));
        let written: AddressPool = {
            let mut pool = pool(json!([]));
            pool.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
            pool
        };
        assert_eq!(status(&written), None, "nothing is left to write");
    }

    #[test]
    fn what_is_released_has_nothing_of_us_left() {
        let status =
            json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}, "conditions": [{"type": ALLOCATED}]});
        let patch = of_service(&service(&status), &decided(&[], Verdict::Released)).unwrap();
        assert_eq!(patch["status"]["loadBalancer"], json!({"ingress": []}));
        assert_eq!(patch["status"]["conditions"][0]["$patch"], "delete");
        assert!(frees(&service(&status), &decided(&[], Verdict::Released)));
    }
}
