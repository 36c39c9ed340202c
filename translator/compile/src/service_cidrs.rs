//! [`ServiceCidrs`]: the networks of ClusterIPs, from the settings and from objects.

use ipnetwork::IpNetwork;
use meridian_model::{Cluster, Key};

use crate::{Config, ip};

/// The networks that ClusterIPs are taken from.
///
/// An API server tells its own by objects (KEP-1880) and gets more of them at run time; one from before tells nothing,
/// so that the settings have to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceCidrs {
    networks: Vec<IpNetwork>,
    faults: Vec<Fault>,
}

/// A network of an object that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) object: Key,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl ServiceCidrs {
    pub(crate) fn of(config: &Config, cluster: &Cluster) -> Self {
        let mut found = Self {
            networks: config.service_cidrs().to_vec(),
            faults: Vec::new(),
        };
        for object in cluster.service_cidrs() {
            for (index, text) in object.cidrs.iter().enumerate() {
                match judge(text, config) {
                    Ok(network) => found.add(network),
                    Err(message) => found.faults.push(Fault {
                        object: Key::ServiceCidr(object.name.clone()),
                        field: format!("spec.cidrs[{index}]"),
                        message,
                    }),
                }
            }
        }
        found
    }

    /// The widest networks, none in another.
    pub(crate) fn networks(&self) -> &[IpNetwork] {
        &self.networks
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    fn add(&mut self, network: IpNetwork) {
        if self.networks.iter().any(|known| ip::contains(*known, network)) {
            return;
        }
        self.networks.retain(|known| !ip::contains(network, *known));
        self.networks.push(network);
    }
}

fn judge(text: &str, config: &Config) -> Result<IpNetwork, String> {
    let network: IpNetwork = text.parse().map_err(|_| format!("{text:?} is no network"))?;
    let network = ip::canonical(network);
    match config.cluster_cidrs().iter().find(|pods| ip::overlap(**pods, network)) {
        Some(pods) => Err(format!(
            "{network} overlaps the cluster CIDR {pods}, whose addresses are those of pods: no service gets an address of it"
        )),
        None => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::{Event, ServiceCidr};

    use super::*;
    use crate::Settings;

    fn found(given: &str, objects: &[(&str, &[&str])]) -> ServiceCidrs {
        let config = Config::new(Settings {
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
            service_cidrs: vec![given.parse().unwrap()],
            ..Settings::default()
        });
        let mut cluster = Cluster::default();
        for (name, cidrs) in objects {
            cluster.apply(Event::apply(ServiceCidr::test(name, cidrs.iter().copied())));
        }
        ServiceCidrs::of(&config.unwrap(), &cluster)
    }

    fn networks(given: &str, objects: &[(&str, &[&str])]) -> Vec<String> {
        let found = found(given, objects);
        assert_eq!(found.faults(), []);
        found.networks().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_widest_networks_count_wherever_they_are_told() {
        let wide: &[&str] = &["10.96.0.0/12", "fd00::/108"];
        assert_eq!(networks("10.96.0.0/16", &[("a", wide)]), ["10.96.0.0/12", "fd00::/108"]);
        assert_eq!(networks("10.96.0.0/12", &[("a", &["10.96.0.0/16"])]), ["10.96.0.0/12"]);
        let both: [(&str, &[&str]); 2] = [("a", &["10.97.0.0/24"]), ("b", &["10.97.0.0/16"])];
        assert_eq!(networks("10.96.0.0/16", &both), ["10.96.0.0/16", "10.97.0.0/16"]);
    }

    #[test]
    fn an_address_in_a_network_stands_for_the_network() {
        assert_eq!(
            networks("10.96.0.0/16", &[("a", &["10.97.0.1/24"])]),
            ["10.96.0.0/16", "10.97.0.0/24"]
        );
    }

    #[test]
    fn what_pods_have_is_a_fault_in_either_direction() {
        for cidr in ["10.0.0.0/8", "10.244.7.0/24"] {
            let found = found("192.168.0.0/16", &[("a", &[cidr])]);
            assert_eq!(found.networks().len(), 1);
            let [fault] = found.faults() else { panic!("{found:?}") };
            assert_eq!(
                (&fault.object, &*fault.field),
                (&Key::service_cidr("a"), "spec.cidrs[0]")
            );
        }
    }
}
