//! What hosts need to know of each other, where there are VPCs beside the default one: by which addresses a host is told from a pod,
//! and what pods of such VPCs are not to reach.
//!
//! The compiler writes it as JSON into `external_ids` of a logical port beside those that stand for services
//! ([`crate::service`]), with the same [`crate::port::KIND`], so that every node agent reads it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The key of `external_ids` that holds [`HostFacts`] as JSON.
pub const HOSTS: &str = "meridian/hosts";

/// What is known of all hosts of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// Their own addresses (`status.addresses` of type `InternalIP`).
    #[serde(default)]
    pub addresses: BTreeSet<IpAddr>,
    /// Under which addresses they connect to services ([`crate::port::Source`]).
    #[serde(default)]
    pub sources: BTreeSet<IpAddr>,
}

impl HostFacts {
    /// The value of [`HOSTS`].
    ///
    /// # Panics
    ///
    /// Never: addresses are texts.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("sets of addresses are lists of texts")
    }

    /// Reads the facts back.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive() {
        let facts = HostFacts {
            addresses: ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap()).into(),
            sources: ["10.244.0.3".parse().unwrap()].into(),
        };
        assert_eq!(HostFacts::from_json(&facts.to_json()).unwrap(), facts);
        assert_eq!(
            facts.to_json(),
            r#"{"addresses":["192.0.2.1","2001:db8::1"],"sources":["10.244.0.3"]}"#
        );
    }
}
