//! Names of logical ports that both sides derive: the compiler to write them, the node to find them.

/// The VPC that every cluster starts with.
pub const DEFAULT_VPC: &str = "default";

/// Whether a text can be the id of a cluster. It ends up in names and in `external_ids`.
pub fn is_cluster_id(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// What stands before all names of a cluster, where several share a Northbound database; nothing where none has an id.
pub fn prefix(cluster: Option<&str>) -> String {
    cluster.map(|id| format!("{id}_")).unwrap_or_default()
}

/// A pod's port, also the `iface-id` of its interface. No Kubernetes name contains an underscore.
pub fn pod_port(prefix: &str, namespace: &str, pod: &str) -> String {
    format!("{prefix}{namespace}_{pod}")
}

/// The interface that every pod has, as runtimes name it: its port is [`pod_port`].
pub const PRIMARY_INTERFACE: &str = "eth0";

/// The port of one of a pod's interfaces: of a further one its name follows an `@`, which occurs neither in names of
/// Kubernetes nor in ids of clusters.
pub fn interface_port(prefix: &str, namespace: &str, pod: &str, interface: &str) -> String {
    let port = pod_port(prefix, namespace, pod);
    if interface == PRIMARY_INTERFACE {
        return port;
    }
    format!("{port}@{interface}")
}

/// Whether a port is that of one of a pod's interfaces, where the pod's first has the port `pod_port`.
pub fn is_interface_of(port: &str, pod_port: &str) -> bool {
    port.strip_prefix(pod_port)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}

/// Whether a text can be the name of a further interface: one that Linux takes (15 bytes at most), that is no path and no option,
/// and not the name of the first or of the loopback device.
pub fn is_further_interface(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=15).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && ![PRIMARY_INTERFACE, "lo", "all", "default"].contains(&text)
}

/// What a VPC has on a node: `default-NODE`, and of any other VPC `VPC.NODE`.
///
/// Names of VPCs have no dots, so that the first dot tells where the name of the VPC ends; and none begins with `default-`.
pub fn part(vpc: &str, node: &str) -> String {
    let between = if vpc == DEFAULT_VPC { '-' } else { '.' };
    format!("{vpc}{between}{node}")
}

/// Whether a text can be the name of a VPC beside the default one.
pub fn is_vpc(text: &str) -> bool {
    is_label(text) && text != DEFAULT_VPC && !text.starts_with("default-")
}

/// Whether a text can be the name of a Subnet. It has no dots, so that names of rows may add words to it.
pub fn is_subnet(text: &str) -> bool {
    is_label(text)
}

/// RFC 1123 section 2.1.
fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

/// The port of a node itself in a VPC.
pub fn management_port(prefix: &str, vpc: &str, node: &str) -> String {
    format!("{prefix}mgmt-{}", part(vpc, node))
}

/// The port through which a node connects to the services of a VPC.
pub fn service_port(prefix: &str, vpc: &str, node: &str) -> String {
    format!("{prefix}svc-{}", part(vpc, node))
}

/// The port between VPCs' routers and the hosts that are their gateways: one, which each of these hosts has.
pub fn egress_port(prefix: &str) -> String {
    format!("{prefix}egress-{DEFAULT_VPC}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_stands_before_every_name() {
        let east = prefix(Some("east"));
        assert_eq!(pod_port(&east, "shop", "web-0"), "east_shop_web-0");
        assert_eq!(management_port(&east, DEFAULT_VPC, "n1"), "east_mgmt-default-n1");
        assert_eq!(pod_port(&prefix(None), "shop", "web-0"), "shop_web-0");
    }

    #[test]
    fn interfaces_of_a_pod_have_ports_that_are_no_other_pods() {
        assert_eq!(interface_port("east_", "shop", "web-0", "eth0"), "east_shop_web-0");
        let further = interface_port("", "shop", "web-0", "net1");
        assert_eq!(further, "shop_web-0@net1");
        assert_ne!(further, pod_port("", "shop", "web-0.net1"));
        assert!(is_interface_of(&further, "shop_web-0") && is_interface_of("shop_web-0", "shop_web-0"));
        for other in ["shop_web-01", "shop_web-0.net1", "shop_web"] {
            assert!(!is_interface_of(other, "shop_web-0"), "{other}");
        }
        for name in ["net1", "eth1", "db_0.7", "fifteen-letters"] {
            assert!(is_further_interface(name), "{name}");
        }
        for name in [
            "",
            "eth0",
            "lo",
            "all",
            "-x",
            ".",
            "..",
            "a/b",
            "a b",
            "a@b",
            "sixteen-letters-",
        ] {
            assert!(!is_further_interface(name), "{name}");
        }
    }

    #[test]
    fn no_two_vpcs_have_parts_of_one_name() {
        assert_eq!(part(DEFAULT_VPC, "n.1"), "default-n.1");
        assert_ne!(part("a-b", "c"), part("a", "b-c"));
        for vpc in ["blue", "b", "blue-2", "defaults"] {
            assert!(is_vpc(vpc), "{vpc}");
        }
        for vpc in ["", "default", "default-x", "a.b", "-a", "a-", "A", &"a".repeat(64)] {
            assert!(!is_vpc(vpc), "{vpc}");
        }
    }

    #[test]
    fn a_cluster_id_is_short_and_plain() {
        assert!(is_cluster_id("east-1"));
        for id in ["", "East", "a_b", "a/b", &"a".repeat(64)] {
            assert!(!is_cluster_id(id), "{id:?}");
        }
    }
}
