//! Names that both sides of the node must agree on, or that must come out the same every time.

use meridian_api::name::{DEFAULT_VPC, management_port, service_port};
use uuid::Uuid;

pub use meridian_api::name::pod_port;

/// Device names are 15 bytes at most (`IFNAMSIZ` less the NUL).
pub const MAX_DEVICE_NAME: usize = 15;

/// Host ends of pods' veths start so.
const HOST_END: &str = "mrd";
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

/// Name of the host's device for one of its ports.
///
/// Those of the default VPC are the ones people look at; those of other VPCs get a short hash. `prefix` is the cluster's.
pub fn management_device(port: &str, prefix: &str, node: &str) -> String {
    if port == management_port(prefix, DEFAULT_VPC, node) {
        return "meridian0".to_owned();
    }
    if port == service_port(prefix, DEFAULT_VPC, node) {
        return "meridian1".to_owned();
    }
    format!("mrm{}", digits(port, MAX_DEVICE_NAME - 3))
}

/// The VPC that a port of the host's leads into; for a name that is none of ours the name itself.
pub fn vpc_of<'a>(port: &'a str, prefix: &str, node: &str) -> &'a str {
    let of_node = port
        .strip_prefix(prefix)
        .and_then(|name| name.strip_suffix(node)?.strip_suffix('-'));
    of_node
        .and_then(|name| name.strip_prefix("mgmt-").or_else(|| name.strip_prefix("svc-")))
        .unwrap_or(port)
}

/// The first digits of a hash in base 32 (RFC 4648, lower case).
fn digits(text: &str, count: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // The namespace only separates these names from other uses of UUIDv5.
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).as_u128();
    (0..count)
        .map(|digit| {
            // From the low end: the version and variant bits are in the middle and at the start of the lower half.
            let index = (hash >> (digit * DIGIT_BITS)) & 0x1f;
            char::from(ALPHABET[usize::try_from(index).expect("five bits")])
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
    }

    #[test]
    fn management_devices_fit_a_device_name() {
        assert_eq!(management_device("mgmt-default-n1", "", "n1"), "meridian0");
        assert_eq!(management_device("svc-default-n1", "", "n1"), "meridian1");
        let custom = management_device("mgmt-blue-n1", "", "n1");
        assert_eq!(custom.len(), MAX_DEVICE_NAME);
        assert_ne!(custom, management_device("mgmt-green-n1", "", "n1"));
    }

    #[test]
    fn ports_of_one_vpc_are_told_by_their_names() {
        for port in [
            management_port("east_", "blue", "n-1"),
            service_port("east_", "blue", "n-1"),
        ] {
            assert_eq!(vpc_of(&port, "east_", "n-1"), "blue");
        }
        assert_eq!(vpc_of("strange", "east_", "n-1"), "strange");
    }

    #[test]
    fn the_device_of_the_default_vpc_has_its_name_whatever_the_cluster() {
        assert_eq!(management_device("east_mgmt-default-n1", "east_", "n1"), "meridian0");
    }
}
