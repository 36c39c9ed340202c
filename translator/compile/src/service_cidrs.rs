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
