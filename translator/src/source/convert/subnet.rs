//! Networks of a VPC that pods on any node are in.

use meridian_api::name::is_subnet;
use meridian_api::subnet::Subnet as Given;
use meridian_model::{Dhcp, Name, Subnet};

use super::{FieldError, Meta};

pub(super) fn subnet(subnet: Given) -> Result<Subnet, FieldError> {
    let meta = Meta::read(subnet.metadata)?;
    // The API server refuses such a name, but nobody else does, and it would end up in names of rows.
    if !is_subnet(&meta.name) {
        let message = format!(
            "{:?} is no name of a Subnet: it has at most 63 characters, of a-z, 0-9 and -",
            meta.name
        );
        return Err(FieldError::new("metadata.name", message));
    }
    let spec = subnet.spec;
    let names = |texts: Vec<String>| texts.into_iter().map(Name::from).collect();
    Ok(Subnet {
        name: meta.name,
        created: meta.created,
        deleting: meta.deleting,
        vpc: spec.vpc.into(),
        cidrs: names(spec.cidrs),
        gateways: names(spec.gateways),
        reserved: names(spec.reserved_ranges),
        dhcp: spec.dhcp.enabled.then(|| Dhcp {
            dns_servers: names(spec.dhcp.dns_servers),
            domain_name: spec.dhcp.domain_name.map(Name::from),
            search_domains: names(spec.dhcp.search_domains),
            ntp_servers: names(spec.dhcp.ntp_servers),
            lease_time: spec.dhcp.lease_time,
            mtu: spec.dhcp.mtu,
        }),
    })
}

#[cfg(test)]
mod tests {
    use meridian_model::Object;
    use serde_json::{Value, json};

    use super::*;
    use crate::source::convert::from_value;

    fn value(spec: &Value) -> Value {
        json!({"apiVersion": "meridian.dev/v1alpha1", "kind": "Subnet", "metadata": {"name": "vms"}, "spec": spec})
    }

    fn read(spec: &Value) -> Subnet {
        let Ok(Some(Object::Subnet(subnet))) = from_value(value(spec)) else {
            panic!("no Subnet");
        };
        subnet
    }

    #[test]
    fn what_a_subnet_leaves_out_is_what_the_resource_says() {
        let subnet = read(&json!({"vpc": "blue", "cidrs": ["what"]}));
        assert_eq!((&*subnet.name, &*subnet.vpc), ("vms", "blue"));
        assert_eq!(
            *subnet.cidrs,
            [Name::from("what")],
            "whether it is a network is not judged here"
        );
        assert!(subnet.gateways.is_empty() && subnet.reserved.is_empty() && subnet.dhcp.is_none());
        let subnet = read(&json!({
            "vpc": "blue", "cidrs": ["10.20.0.0/16"], "gateways": ["10.20.0.9"], "reservedRanges": ["10.20.0.16/28"],
            "dhcp": {"enabled": true, "dnsServers": ["10.96.0.10"], "mtu": 1400},
        }));
        let dhcp = subnet.dhcp.unwrap();
        assert_eq!((dhcp.lease_time, dhcp.mtu), (3600, Some(1400)));
        assert_eq!(*dhcp.dns_servers, [Name::from("10.96.0.10")]);
        assert_eq!(*subnet.gateways, [Name::from("10.20.0.9")]);
        assert_eq!(*subnet.reserved, [Name::from("10.20.0.16/28")]);
    }

    #[test]
    fn a_name_that_no_subnet_can_have_is_an_error() {
        let mut value = value(&json!({"vpc": "blue", "cidrs": []}));
        value["metadata"]["name"] = json!("a.b");
        let error = from_value(value).unwrap_err().to_string();
        assert!(
            error.starts_with("subnet/a.b: metadata.name: \"a.b\" is no name"),
            "{error}"
        );
    }
}
