//! Names that both sides of the node must agree on, or that must come out the same every time.

use meridian_api::name::{DEFAULT_VPC, egress_port, is_vpc, management_port, service_port};
use uuid::Uuid;

pub use meridian_api::name::{PRIMARY_INTERFACE, interface_port, is_interface_of, pod_port};

/// Device names are 15 bytes at most (`IFNAMSIZ` less the NUL).
pub const MAX_DEVICE_NAME: usize = 15;

/// Host ends of pods' veths start so.
const HOST_END: &str = "mrd";
/// The host's own devices in VPCs beside the default one start so.
const MANAGEMENT: &str = "mrm";
/// Shorter than the digits of a hash, so that no name of a VPC is taken for one.
const READABLE_VPC: usize = MAX_DEVICE_NAME - MANAGEMENT.len() - 1;
/// The digits of a hash in base 32.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Bits of a base-32 digit.
const DIGIT_BITS: usize = 5;
/// Digits that tell networks apart, and those that tell attachments apart: 3 + 2 + 10 = 15 bytes.
const NETWORK_DIGITS: usize = 2;
/// 50 bits: with 500 pods on a node, a clash once in ten thousand million nodes.
const ATTACHMENT_DIGITS: usize = 10;

/// Name of the host's end of a pod's veth.
///
/// A function of the attachment alone, so that whoever comes after a plugin killed half way (the next ADD, DEL or GC)
/// finds what it left without any record of it. The network is part of it so that GC of one network can tell its own
/// devices from another's.
pub fn host_end(network: &str, container_id: &str, ifname: &str) -> String {
    let attachment = digits(&format!("{network}\0{container_id}\0{ifname}"), ATTACHMENT_DIGITS);
    format!("{}{attachment}", host_end_prefix(network))
}

/// What the names of all host ends of a network start with.
pub fn host_end_prefix(network: &str) -> String {
    format!("{HOST_END}{}", digits(network, NETWORK_DIGITS))
}

/// Whether a device is the host's end of some attachment of a network.
pub fn is_host_end(network: &str, device: &str) -> bool {
    device.len() == MAX_DEVICE_NAME && device.starts_with(&host_end_prefix(network))
}

/// Whether a device is the host's end of some attachment of whichever network: further interfaces of pods are of networks of
/// their own.
pub fn is_any_host_end(device: &str) -> bool {
    let digits = device.strip_prefix(HOST_END);
    device.len() == MAX_DEVICE_NAME && digits.is_some_and(|digits| digits.bytes().all(|digit| DIGITS.contains(&digit)))
}

/// Name of the host's device for one of its ports.
///
/// That of another VPC than the default one has the name of the VPC where that is short enough, for people who look at routes,
/// and else a hash. `prefix` is the cluster's.
pub fn management_device(port: &str, vpc: Option<&str>, prefix: &str, node: &str) -> String {
    if port == management_port(prefix, DEFAULT_VPC, node) {
        return "meridian0".to_owned();
    }
    if port == service_port(prefix, DEFAULT_VPC, node) {
        return "meridian1".to_owned();
    }
    if port == egress_port(prefix) {
        return EGRESS.to_owned();
    }
    let readable = |vpc: &&str| vpc.len() <= READABLE_VPC && is_vpc(vpc) && port == management_port(prefix, vpc, node);
    match vpc.filter(readable) {
        Some(vpc) => format!("{MANAGEMENT}{vpc}"),
        None => format!("{MANAGEMENT}{}", digits(port, MAX_DEVICE_NAME - MANAGEMENT.len())),
    }
}

/// The host's device as a gateway. No VPC has such a name.
const EGRESS: &str = "mrm-egress";

/// Whether a device is the host's own in a VPC beside the default one.
pub fn is_of_other_vpc(device: &str) -> bool {
    device.starts_with(MANAGEMENT)
}

/// The first digits of a hash in base 32 (RFC 4648, lower case).
fn digits(text: &str, count: usize) -> String {
    // The namespace only separates these names from other uses of UUIDv5.
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).as_u128();
    (0..count)
        .map(|digit| {
            // From the low end: the version and variant bits are in the middle and at the start of the lower half.
            let index = (hash >> (digit * DIGIT_BITS)) & 0x1f;
            char::from(DIGITS[usize::try_from(index).expect("five bits")])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_end_is_a_stable_device_name() {
        let name = host_end("meridian", "0123456789abcdef", "eth0");
        assert_eq!(name, host_end("meridian", "0123456789abcdef", "eth0"));
        assert_eq!(name.len(), MAX_DEVICE_NAME);
        assert!(is_host_end("meridian", &name));
    }

    #[test]
    fn the_interface_and_the_network_are_part_of_a_host_end() {
        let name = host_end("meridian", "c", "eth0");
        assert_ne!(name, host_end("meridian", "c", "net1"));
        let other = host_end("storage", "c", "eth0");
        assert!(!is_host_end("meridian", &other), "{name} {other}");
        assert!(is_any_host_end(&name) && is_any_host_end(&other));
        for foreign in ["mrdshort", "mrd0123456789ab", "veth1234567890a", "mrdABCDEFGHIJKL"] {
            assert!(!is_any_host_end(foreign), "{foreign}");
        }
    }

    #[test]
    fn management_devices_fit_a_device_name() {
        let device = |port: &str, vpc| management_device(port, vpc, "", "n1");
        assert_eq!(device("mgmt-default-n1", None), "meridian0");
        assert_eq!(device("svc-default-n1", None), "meridian1");
        let long = "a-long-name1";
        let hashed = device(&management_port("", long, "n1"), Some(long));
        assert_eq!(hashed.len(), MAX_DEVICE_NAME);
        assert_ne!(hashed, device("mgmt-another-long.n1", Some("another-long")));
    }

    #[test]
    fn a_device_has_the_name_of_its_vpc_where_that_is_short_and_the_port_is_the_vpcs() {
        let device = |port: &str, vpc| management_device(port, Some(vpc), "east_", "n.1");
        assert_eq!(device("east_mgmt-blue.n.1", "blue"), "mrmblue");
        assert!(is_of_other_vpc("mrmblue") && !is_of_other_vpc("meridian0"));
        assert_eq!(device("east_mgmt-a-name-of11.n.1", "a-name-of11"), "mrma-name-of11");
        for (port, vpc) in [
            ("east_mgmt-blue.n.1", "green"),
            ("east_mgmt-b/e.n.1", "b/e"),
            ("east_mgmt-blue.n.2", "blue"),
        ] {
            assert_eq!(device(port, vpc).len(), MAX_DEVICE_NAME, "{port}");
        }
    }

    #[test]
    fn the_device_of_the_default_vpc_has_its_name_whatever_the_cluster() {
        assert_eq!(
            management_device("east_mgmt-default-n1", None, "east_", "n1"),
            "meridian0"
        );
    }
}
