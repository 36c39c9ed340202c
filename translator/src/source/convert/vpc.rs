//! Networks of their own for the pods of some namespaces.

use meridian_api::name::is_vpc;
use meridian_api::vpc::{EgressMode, Scope as GivenScope, Vpc as Given};
use meridian_model::{Egress, Name, Route, Scope, Vpc};

use super::selector::selector;
use super::{FieldError, Meta};

pub(super) fn vpc(vpc: Given) -> Result<Vpc, FieldError> {
    let meta = Meta::read(vpc.metadata)?;
    // The API server refuses such a name, but nobody else does, and it would end up in names of rows.
    if !is_vpc(&meta.name) {
        let message = format!(
            "{:?} is no name of a VPC: it has at most 63 characters, of a-z, 0-9 and -, and is neither default nor begins \
             with default-",
            meta.name
        );
        return Err(FieldError::new("metadata.name", message));
    }
    let spec = vpc.spec;
    Ok(Vpc {
        name: meta.name,
        created: meta.created,
        deleting: meta.deleting,
        namespaces: (spec.namespace_selector)
            .map(|of| selector("spec.namespaceSelector", of))
            .transpose()?,
        attachments: (spec.attachments.namespace_selector)
            .map(|of| selector("spec.attachments.namespaceSelector", of))
            .transpose()?,
        scope: match spec.scope {
            GivenScope::Pods => Scope::Pods,
            GivenScope::VirtualMachines => Scope::VirtualMachines,
            GivenScope::All => Scope::All,
        },
        cidrs: spec.pod_network.cidrs.into_iter().map(Name::from).collect(),
        host_slice_v4: spec.pod_network.host_slice,
        host_slice_v6: spec.pod_network.host_slice_ipv6,
        egress: egress(spec.egress)?,
        shared_services: spec.services.shared,
        peers: spec.peers.into_iter().map(|peer| Name::from(peer.name)).collect(),
        routes: spec.routes.into_iter().map(route).collect(),
        default_subnet: spec.default_subnet.filter(|name| !name.is_empty()).map(Name::from),
        dns_servers: spec.dns.servers.into_iter().map(Name::from).collect(),
        search_domains: spec.dns.search_domains.into_iter().map(Name::from).collect(),
    })
}

fn route(route: meridian_api::vpc::Route) -> Route {
    Route {
        destination: route.destination.into(),
        nexthops: route.nexthops.into_iter().map(Name::from).collect(),
    }
}

fn egress(egress: meridian_api::vpc::Egress) -> Result<Egress, FieldError> {
    const SELECTOR: &str = "spec.egress.gatewayNodeSelector";
    match (egress.mode, egress.gateway_node_selector) {
        (EgressMode::Node, None) => Ok(Egress::Node),
        (EgressMode::None, None) => Ok(Egress::None),
        (EgressMode::Gateway, Some(of)) => Ok(Egress::Gateway(selector(SELECTOR, of)?)),
        (EgressMode::Gateway, None) => Err(FieldError::new(
            SELECTOR,
            "missing: mode Gateway needs to know which nodes are gateways",
        )),
        (EgressMode::Node | EgressMode::None, Some(_)) => Err(FieldError::new(
            SELECTOR,
            "there are gateways in mode Gateway alone: set spec.egress.mode to it, or leave the selector out",
        )),
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::{Labels, Object};
    use serde_json::{Value, json};

    use super::*;
    use crate::source::convert::from_value;

    fn value(selector: &Value) -> Value {
        json!({
            "apiVersion": "meridian.dev/v1alpha1", "kind": "Vpc", "metadata": {"name": "blue"},
            "spec": {"namespaceSelector": selector, "podNetwork": {"cidrs": ["10.8.0.0/16"]}},
        })
    }

    fn read(value: Value) -> Vpc {
        let Ok(Some(Object::Vpc(vpc))) = from_value(value) else {
            panic!("no VPC");
        };
        vpc
    }

    fn selects(selector: &Value, labels: &[(&str, &str)]) -> bool {
        let labels: Labels = labels.iter().copied().collect();
        let selector = read(value(selector)).namespaces;
        selector.is_some_and(|selector| selector.matches(&labels))
    }

    fn error(value: Value) -> String {
        from_value(value).unwrap_err().to_string()
    }

    #[test]
    fn what_a_vpc_leaves_out_is_what_the_resource_says() {
        let mut value = value(&Value::Null);
        value["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        let vpc = read(value.clone());
        assert_eq!(
            (&*vpc.name, vpc.created.0, vpc.deleting),
            ("blue", 1_767_225_600, false)
        );
        assert_eq!(*vpc.cidrs, [Name::from("10.8.0.0/16")]);
        assert_eq!((vpc.host_slice_v4, vpc.host_slice_v6), (24, 64));
        assert_eq!((vpc.egress, vpc.shared_services), (Egress::Node, true));
        assert!(vpc.peers.is_empty() && vpc.scope == Scope::All);
        value["spec"]["scope"] = json!("VirtualMachines");
        value["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        value["spec"]["egress"] = json!({"mode": "None"});
        value["spec"]["services"] = json!({"shared": false});
        value["spec"]["peers"] = json!([{"name": "green"}, {"name": "red"}]);
        value["spec"]["routes"] = json!([{"destination": "0.0.0.0/0", "nexthops": ["10.20.0.5", "what"]}]);
        value["spec"]["podNetwork"] = json!({"cidrs": ["what"], "hostSlice": 25, "hostSliceIPv6": 112});
        let vpc = read(value);
        assert!(vpc.deleting && !vpc.shared_services && vpc.scope == Scope::VirtualMachines);
        let route = Route {
            destination: "0.0.0.0/0".into(),
            nexthops: ["10.20.0.5".into(), "what".into()].into(),
        };
        assert_eq!(*vpc.routes, [route]);
        assert_eq!(*vpc.peers, [Name::from("green"), "red".into()]);
        assert_eq!(
            (vpc.host_slice_v4, vpc.host_slice_v6, vpc.egress),
            (25, 112, Egress::None)
        );
        assert_eq!(
            *vpc.cidrs,
            [Name::from("what")],
            "whether it is a network is not judged here"
        );
    }

    #[test]
    fn an_empty_selector_selects_every_namespace_and_an_absent_one_none() {
        assert!(selects(&json!({}), &[]));
        assert!(!selects(&Value::Null, &[("vpc", "blue")]));
    }

    #[test]
    fn labels_and_expressions_must_all_match() {
        let selector = json!({
            "matchLabels": {"vpc": "blue"},
            "matchExpressions": [
                {"key": "stage", "operator": "NotIn", "values": ["test"]},
                {"key": "team", "operator": "Exists"},
            ],
        });
        assert!(selects(&selector, &[("vpc", "blue"), ("team", "a")]));
        assert!(!selects(&selector, &[("vpc", "blue")]));
        assert!(!selects(
            &selector,
            &[("vpc", "blue"), ("team", "a"), ("stage", "test")]
        ));
        assert!(!selects(&selector, &[("vpc", "red"), ("team", "a")]));
    }

    #[test]
    fn gateways_are_selected_in_mode_gateway_alone() {
        let of = |egress: Value| {
            let mut value = value(&json!({}));
            value["spec"]["egress"] = egress;
            from_value(value).map_err(|error| error.to_string())
        };
        let Ok(Some(Object::Vpc(vpc))) =
            of(json!({"mode": "Gateway", "gatewayNodeSelector": {"matchLabels": {"edge": "yes"}}}))
        else {
            panic!("no VPC")
        };
        let Egress::Gateway(nodes) = vpc.egress else {
            panic!("no gateways: {:?}", vpc.egress)
        };
        assert_eq!(nodes.to_string(), "edge=yes");
        for (egress, expected) in [
            (json!({"mode": "Gateway"}), "missing: mode Gateway needs"),
            (
                json!({"mode": "None", "gatewayNodeSelector": {}}),
                "in mode Gateway alone",
            ),
            (json!({"gatewayNodeSelector": {}}), "in mode Gateway alone"),
        ] {
            let error = of(egress).unwrap_err();
            assert!(
                error.starts_with("vpc/blue: spec.egress.gatewayNodeSelector: ") && error.contains(expected),
                "{error}"
            );
        }
        let error = of(
            json!({"mode": "Gateway", "gatewayNodeSelector": {"matchExpressions": [{"key": "b", "operator": "In"}]}}),
        );
        assert!(
            error
                .unwrap_err()
                .contains("spec.egress.gatewayNodeSelector.matchExpressions[0].values: missing"),
        );
    }

    #[test]
    fn an_expression_that_makes_no_sense_is_named() {
        let of = |expression: Value| {
            error(value(
                &json!({"matchExpressions": [{"key": "a", "operator": "Exists"}, expression]}),
            ))
        };
        assert_eq!(
            of(json!({"key": "b", "operator": "Like", "values": ["x"]})),
            "vpc/blue: spec.namespaceSelector.matchExpressions[1].operator: \"Like\" is none of In, NotIn, Exists, DoesNotExist"
        );
        assert_eq!(
            of(json!({"key": "b", "operator": "In"})),
            "vpc/blue: spec.namespaceSelector.matchExpressions[1].values: missing: In needs one at least"
        );
        assert_eq!(
            of(json!({"key": "b", "operator": "DoesNotExist", "values": ["x"]})),
            "vpc/blue: spec.namespaceSelector.matchExpressions[1].values: DoesNotExist takes none"
        );
    }

    #[test]
    fn a_name_that_no_vpc_can_have_is_an_error() {
        for name in ["default", "default-a", "a.b", "Blue"] {
            let mut value = value(&json!({}));
            value["metadata"]["name"] = json!(name);
            let error = error(value);
            assert!(
                error.starts_with(&format!("vpc/{name}: metadata.name: {name:?} is no name")),
                "{error}"
            );
        }
        let mut nameless = value(&json!({}));
        nameless["metadata"]["name"] = json!("");
        assert!(error(nameless).ends_with("metadata.name: missing"));
    }

    #[test]
    fn a_vpc_without_a_network_is_an_error() {
        let mut value = value(&json!({}));
        value["spec"].as_object_mut().unwrap().remove("podNetwork");
        assert_eq!(error(value), "vpc/blue: spec: missing field `podNetwork`");
    }
}
