//! [`Vips`]: which service is reached under an address and port, where several would be.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use meridian_model::{Service, ServiceKey, Timestamp};

use crate::Config;
use crate::service::{Transport, vips_of};

/// An address, port and protocol.
pub(crate) type Vip = (SocketAddr, Transport);

/// What a service claims, and whether only as an address from beyond the cluster.
pub(crate) type Claimed = (SocketAddr, Transport, bool);

/// Who would be reached under what. The oldest service is, of two of one age the one whose name comes first; but nobody
/// takes a ClusterIP of another's by naming it as an address from beyond the cluster.
#[derive(Debug, Default)]
pub(crate) struct Vips {
    /// Sorted, the holder first. Hardly ever more than one.
    claims: HashMap<Vip, Vec<Claim>>,
    of: HashMap<ServiceKey, (Timestamp, Box<[Claimed]>)>,
}

/// The least is the holder's. Claims of addresses from beyond the cluster come last.
type Claim = (bool, Timestamp, ServiceKey);

impl Vips {
    /// Notes what a service is like now, and yields the others that may fare differently for it.
    pub(crate) fn set(&mut self, key: &ServiceKey, service: Option<&Service>, config: &Config) -> BTreeSet<ServiceKey> {
        let mut others = BTreeSet::new();
        let now = service.map(|service| (service.created, vips_of(service, config)));
        if self.of.get(key) == now.as_ref() {
            return others;
        }
        if let Some((created, vips)) = self.of.remove(key) {
            for (address, transport, external) in vips {
                let vip = (address, transport);
                let Some(claims) = self.claims.get_mut(&vip) else {
                    continue;
                };
                claims.retain(|claim| *claim != (external, created, key.clone()));
                others.extend(claims.iter().map(|(_, _, other)| other.clone()));
                if claims.is_empty() {
                    self.claims.remove(&vip);
                }
            }
        }
        if let Some((created, vips)) = now {
            for &(address, transport, external) in &vips {
                let claims = self.claims.entry((address, transport)).or_default();
                others.extend(claims.iter().map(|(_, _, other)| other.clone()));
                let claim = (external, created, key.clone());
                if let Err(at) = claims.binary_search(&claim) {
                    claims.insert(at, claim);
                }
            }
            self.of.insert(key.clone(), (created, vips));
        }
        others
    }

    /// Who is reached under it, and whether only as an address from beyond the cluster.
    pub(crate) fn holder(&self, vip: Vip) -> Option<(&ServiceKey, bool)> {
        let (external, _, key) = self.claims.get(&vip)?.first()?;
        Some((key, *external))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn config() -> Config {
        Config::new(Settings {
            cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
            ..Settings::default()
        })
        .unwrap()
    }

    fn service(name: &str, created: i64) -> Service {
        let service = Service::test("x", name).under(["10.96.0.7"]).with_port("", 80);
        service.created_at(created)
    }

    fn holder(vips: &Vips, address: &str) -> Option<String> {
        let (key, _) = vips.holder((address.parse().unwrap(), Transport::Tcp))?;
        Some(key.name.to_string())
    }

    /// Sets a service and yields who else is to be looked at.
    fn set(vips: &mut Vips, service: &Service) -> Vec<String> {
        let others = vips.set(&service.key(), Some(service), &config());
        others.iter().map(|key| key.name.to_string()).collect()
    }

    #[test]
    fn the_oldest_holds_and_of_one_age_the_first_by_name() {
        let mut vips = Vips::default();
        assert_eq!(set(&mut vips, &service("c", 2)), [""; 0]);
        assert_eq!(set(&mut vips, &service("b", 2)), ["c"]);
        assert_eq!(holder(&vips, "10.96.0.7:80").as_deref(), Some("b"));
        assert_eq!(set(&mut vips, &service("d", 1)), ["b", "c"]);
        assert_eq!(holder(&vips, "10.96.0.7:80").as_deref(), Some("d"));
    }

    #[test]
    fn the_next_holds_once_the_first_is_gone_or_another() {
        let mut vips = Vips::default();
        for (name, created) in [("a", 1), ("b", 2), ("c", 3)] {
            set(&mut vips, &service(name, created));
        }
        vips.set(&service("a", 1).key(), None, &config());
        assert_eq!(holder(&vips, "10.96.0.7:80").as_deref(), Some("b"));
        // The same name, made anew.
        assert_eq!(set(&mut vips, &service("b", 4)), ["c"]);
        assert_eq!(holder(&vips, "10.96.0.7:80").as_deref(), Some("c"));
        for name in ["b", "c"] {
            vips.set(&service(name, 0).key(), None, &config());
        }
        assert!(vips.claims.is_empty() && vips.of.is_empty(), "nothing is left behind");
    }

    #[test]
    fn what_does_not_change_is_nobodys_concern() {
        let mut vips = Vips::default();
        set(&mut vips, &service("a", 1));
        set(&mut vips, &service("b", 2));
        let other = service("b", 2).with_affinity(60);
        assert_eq!(set(&mut vips, &other), [""; 0]);
    }

    #[test]
    fn a_cluster_ip_goes_before_an_address_from_beyond_the_cluster() {
        let mut vips = Vips::default();
        let thief = Service::test("x", "a").under(["10.96.0.8"]).with_port("", 80);
        let thief = thief.created_at(1).with_external_ips(["10.96.0.7"]);
        set(&mut vips, &thief);
        assert_eq!(holder(&vips, "10.96.0.7:80").as_deref(), Some("a"));
        assert_eq!(set(&mut vips, &service("b", 2)), ["a"]);
        assert_eq!(holder(&vips, "10.96.0.7:80").as_deref(), Some("b"));
    }
}
