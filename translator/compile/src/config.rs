//! [`Config`]: the cluster-wide choices, validated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;
use meridian_api::name;
use meridian_model::{Name, ServiceKey};

use crate::ip;

/// What kube-apiserver takes for `--service-node-port-range` unless told otherwise.
const NODE_PORT_RANGE: RangeInclusive<u16> = 30_000..=32_767;

/// What stands for a node's address towards services: link-local and unique local (RFC 3927, RFC 4193), which no
/// network of a cluster's is.
const NODE_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);
/// The host's own address beside it, see [`Config::service_device_address`].
const HOST_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 2);
const NODE_V6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6572, 0x6964, 0x6961, 0, 0, 0, 1);

/// Shared address space (RFC 6598) and unique local (RFC 4193): only hosts and VPCs' routers have addresses of it.
const EGRESS: [&str; 2] = ["100.66.0.0/16", "fd6d:6572:6964:6567::/64"];

/// The choices as a user gives them; [`Config::new`] judges them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Tells clusters apart that share a Northbound database; also prefixes the names of ports then.
    pub cluster_id: Option<String>,
    /// The networks pods live in. At least one; one family or both.
    pub cluster_cidrs: Vec<IpNetwork>,
    /// The networks of ClusterIPs, which hosts reach through their management ports.
    pub service_cidrs: Vec<IpNetwork>,
    /// The ports of nodes that belong to services.
    pub node_port_range: RangeInclusive<u16>,
    /// Prefix length of a node's slice where its `spec.podCIDRs` does not say, IPv4.
    pub host_slice_v4: u8,
    /// The same for IPv6.
    pub host_slice_v6: u8,
    /// MTU of pods, if all nodes shall use the same; otherwise each derives it from its uplink.
    pub mtu: Option<u16>,
    /// Services that pods of every VPC may use, beside those that say so themselves.
    pub shared_services: Vec<ServiceKey>,
    /// The networks between VPCs and their gateways, at most one per family.
    pub egress_cidrs: Vec<IpNetwork>,
}

/// Validated choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    cluster_id: Option<Name>,
    cluster_cidrs: Box<[IpNetwork]>,
    service_cidrs: Box<[IpNetwork]>,
    node_port_range: RangeInclusive<u16>,
    host_slice_v4: u8,
    host_slice_v6: u8,
    mtu: Option<u16>,
    shared_services: Box<[ServiceKey]>,
    egress_cidrs: Box<[IpNetwork]>,
}

/// Why [`Settings`] make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Pods need addresses.
    #[error("no cluster CIDR is given")]
    NoClusterCidr,
    /// A network was written as an address in it.
    #[error("{given} is an address with a prefix length, not a network: did you mean {meant}?")]
    HostBits {
        /// As given.
        given: IpNetwork,
        /// The network it is in.
        meant: IpNetwork,
    },
    /// Two networks share addresses.
    #[error("{first} and {second} overlap")]
    Overlap {
        /// One.
        first: IpNetwork,
        /// The other.
        second: IpNetwork,
    },
    /// No slice of that length can be carved.
    #[error(
        "a slice of /{slice} per node does not fit {cidr}: it must be at least /{} and at most /{most}",
        .cidr.prefix()
    )]
    HostSlice {
        /// The prefix length asked for.
        slice: u8,
        /// The cluster CIDR.
        cidr: IpNetwork,
        /// The longest prefix with room for a gateway and the addresses of the host.
        most: u8,
    },
    /// Pods or services have addresses of it.
    #[error("the egress CIDR {egress} overlaps {other}: take another (--egress-cidr)")]
    EgressOverlap {
        /// The one.
        egress: IpNetwork,
        /// The cluster CIDR or service CIDR.
        other: IpNetwork,
    },
    /// There is one host's address on that network, per family.
    #[error("{second} is a second egress CIDR of its family beside {first}: there is at most one per family")]
    SecondEgress {
        /// One.
        first: IpNetwork,
        /// The other.
        second: IpNetwork,
    },
    /// The host and two gateways need addresses.
    #[error("the egress CIDR {0} has no room for gateways: it must be at most a /{most}", most = ip::longest_slice(*.0))]
    SmallEgress(IpNetwork),
    /// The id ends up in names and in external_ids.
    #[error("the cluster id {0:?} must be 1 to 63 characters of a-z, 0-9 and -")]
    ClusterId(String),
    /// IPv6 needs 1280 (RFC 8200), and nothing carries more than 65535.
    #[error("an MTU of {0} is less than 1280, the least that IPv6 and common software can live with")]
    Mtu(u16),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_id: None,
            cluster_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            node_port_range: NODE_PORT_RANGE,
            host_slice_v4: 24,
            host_slice_v6: 64,
            mtu: None,
            shared_services: vec![
                ServiceKey::new("default", "kubernetes"),
                ServiceKey::new("kube-system", "kube-dns"),
            ],
            egress_cidrs: EGRESS.map(|cidr| cidr.parse().expect("written here")).into(),
        }
    }
}

impl Config {
    /// Judges settings.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let Settings {
            cluster_id,
            cluster_cidrs,
            service_cidrs,
            node_port_range,
            host_slice_v4,
            host_slice_v6,
            mtu,
            shared_services,
            egress_cidrs,
        } = settings;
        if cluster_cidrs.is_empty() {
            return Err(ConfigError::NoClusterCidr);
        }
        let all: Vec<IpNetwork> = cluster_cidrs.iter().chain(&service_cidrs).copied().collect();
        for (at, &network) in all.iter().enumerate() {
            let meant = ip::canonical(network);
            if meant != network {
                return Err(ConfigError::HostBits { given: network, meant });
            }
            if let Some(&first) = all[..at].iter().find(|&&earlier| ip::overlap(earlier, network)) {
                return Err(ConfigError::Overlap { first, second: network });
            }
        }
        for &cidr in &cluster_cidrs {
            let slice = if cidr.is_ipv4() { host_slice_v4 } else { host_slice_v6 };
            let most = ip::longest_slice(cidr);
            if slice < cidr.prefix() || slice > most {
                return Err(ConfigError::HostSlice { slice, cidr, most });
            }
        }
        for &egress in &egress_cidrs {
            let meant = ip::canonical(egress);
            if meant != egress {
                return Err(ConfigError::HostBits { given: egress, meant });
            }
            if let Some(&other) = all.iter().find(|other| ip::overlap(**other, egress)) {
                return Err(ConfigError::EgressOverlap { egress, other });
            }
        }
        for (at, &second) in egress_cidrs.iter().enumerate() {
            let mut earlier = egress_cidrs[..at].iter();
            if let Some(&first) = earlier.find(|first| first.is_ipv4() == second.is_ipv4()) {
                return Err(ConfigError::SecondEgress { first, second });
            }
            if second.prefix() > ip::longest_slice(second) {
                return Err(ConfigError::SmallEgress(second));
            }
        }
        if let Some(id) = cluster_id.as_deref().filter(|id| !name::is_cluster_id(id)) {
            return Err(ConfigError::ClusterId(id.to_owned()));
        }
        if let Some(mtu) = mtu.filter(|&mtu| mtu < 1280) {
            return Err(ConfigError::Mtu(mtu));
        }
        Ok(Self {
            cluster_id: cluster_id.map(Name::from),
            cluster_cidrs: cluster_cidrs.into(),
            service_cidrs: service_cidrs.into(),
            node_port_range,
            host_slice_v4,
            host_slice_v6,
            mtu,
            shared_services: shared_services.into(),
            egress_cidrs: egress_cidrs.into(),
        })
    }

    /// Whether pods of every VPC may use a service, whatever it says itself.
    pub fn is_shared(&self, service: &ServiceKey) -> bool {
        self.shared_services.contains(service)
    }

    /// What tells this cluster from others on the same Northbound database.
    pub fn cluster_id(&self) -> Option<&Name> {
        self.cluster_id.as_ref()
    }

    /// The networks pods live in.
    pub fn cluster_cidrs(&self) -> &[IpNetwork] {
        &self.cluster_cidrs
    }

    /// The networks of ClusterIPs.
    pub fn service_cidrs(&self) -> &[IpNetwork] {
        &self.service_cidrs
    }

    /// The networks between VPCs and their gateways, at most one per family.
    pub fn egress_cidrs(&self) -> &[IpNetwork] {
        &self.egress_cidrs
    }

    /// The ports of nodes that belong to services.
    pub fn node_port_range(&self) -> &RangeInclusive<u16> {
        &self.node_port_range
    }

    /// What stands for every node's address of a family towards services.
    pub fn node_address(&self, v4: bool) -> IpAddr {
        if v4 { NODE_V4.into() } else { NODE_V6.into() }
    }

    /// An address for the host's device towards services. Linux takes nothing on a device without any IPv4 address whose
    /// source is not routed through it (`rp_filter`, loose too), as the refusal of what no service has.
    pub fn service_device_address(&self) -> IpNetwork {
        IpAddr::from(HOST_V4).into()
    }

    /// Prefix length of a slice carved from `cidr`.
    pub fn host_slice(&self, cidr: IpNetwork) -> u8 {
        if cidr.is_ipv4() {
            self.host_slice_v4
        } else {
            self.host_slice_v6
        }
    }

    /// MTU of pods, if fixed for the cluster.
    pub fn mtu(&self) -> Option<u16> {
        self.mtu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(cluster: &[&str], services: &[&str]) -> Settings {
        let parse = |cidrs: &[&str]| cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        Settings {
            cluster_cidrs: parse(cluster),
            service_cidrs: parse(services),
            ..Settings::default()
        }
    }

    fn refusal(settings: Settings) -> String {
        Config::new(settings).unwrap_err().to_string()
    }

    #[test]
    fn dual_stack_is_accepted() {
        let config = Config::new(settings(&["10.244.0.0/16", "fd00:10:244::/48"], &["10.96.0.0/16"])).unwrap();
        assert_eq!(config.host_slice(config.cluster_cidrs()[1]), 64);
    }

    #[test]
    fn a_cluster_needs_a_cidr() {
        assert_eq!(refusal(settings(&[], &[])), "no cluster CIDR is given");
    }

    #[test]
    fn host_bits_are_refused_with_the_network_meant() {
        assert!(refusal(settings(&["10.244.0.5/16"], &[])).ends_with("did you mean 10.244.0.0/16?"));
    }

    #[test]
    fn services_must_not_overlap_pods() {
        assert_eq!(
            refusal(settings(&["10.244.0.0/16"], &["10.244.8.0/24"])),
            "10.244.0.0/16 and 10.244.8.0/24 overlap"
        );
    }

    #[test]
    fn a_slice_must_fit_its_cluster_cidr() {
        let wide = Settings {
            host_slice_v4: 15,
            ..settings(&["10.244.0.0/16"], &[])
        };
        assert!(refusal(wide).contains("at least /16 and at most /29"));
        let narrow = Settings {
            host_slice_v6: 127,
            ..settings(&["fd00::/48"], &[])
        };
        assert!(refusal(narrow).contains("at least /48 and at most /126"));
    }

    #[test]
    fn a_cluster_id_is_short_and_plain() {
        for id in ["", "East", "a/b"] {
            let settings = Settings {
                cluster_id: Some(id.into()),
                ..settings(&["10.244.0.0/16"], &[])
            };
            assert!(
                matches!(Config::new(settings), Err(ConfigError::ClusterId(_))),
                "{id:?}"
            );
        }
    }

    #[test]
    fn there_is_one_egress_network_per_family_and_it_has_room() {
        let of = |egress: &[&str]| Settings {
            egress_cidrs: egress.iter().map(|cidr| cidr.parse().unwrap()).collect(),
            ..settings(&["10.244.0.0/16"], &[])
        };
        assert!(Config::new(of(&[])).is_ok());
        assert!(refusal(of(&["100.66.0.0/16", "100.67.0.0/16"])).contains("100.67.0.0/16 is a second egress CIDR"));
        assert!(refusal(of(&["100.66.0.0/30"])).ends_with("at most a /29"));
        assert_eq!(
            refusal(of(&["10.244.8.0/24"])),
            "the egress CIDR 10.244.8.0/24 overlaps 10.244.0.0/16: take another (--egress-cidr)"
        );
    }

    #[test]
    fn an_mtu_below_1280_is_refused() {
        let settings = Settings {
            mtu: Some(576),
            ..settings(&["10.244.0.0/16"], &[])
        };
        assert_eq!(Config::new(settings), Err(ConfigError::Mtu(576)));
    }
}
