//! Announces addresses of services on the networks of this node: answers ARP and neighbour discovery for addresses that no
//! device has, and agrees with the other nodes who does.
//!
//! Nodes agree on the wire alone, whether or not there is a Kubernetes API or an OVN database (the rules are in `machine`). What
//! comes for an address is for others to handle: the kernel must not own it, nftables translate it.
//!
//! ```text
//! ServiceFacts ── wanted() ──> set() ─┐
//! links_changed() ────────────────────┴─> worker (a thread) ── machine (address, device) ── arp, nd ── socket ── wire
//! status() <──────────────────────────────┘
//! ```
//!
//! Must not know Kubernetes, OVN or nftables, nor configure any device.

mod arp;
#[cfg(test)]
mod convergence;
mod devices;
mod filter;
mod frame;
mod machine;
mod nd;
#[cfg(test)]
mod simulation;
mod socket;
mod timing;
mod words;
mod worker;

pub use crate::protocol::{AnnouncementStatus, Role};

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use meridian_api::service::ServiceFacts;

/// An address that this node may announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The address.
    pub address: IpAddr,
    /// How many nodes of its list come before this one.
    pub rank: u32,
    /// Devices to announce it on; empty for those in whose networks the address is, or else that of the default route.
    pub interfaces: Vec<String>,
}

/// What a node has to announce. The list of an address is the one of the first service that has one, by namespace and name:
/// nodes that took the lists of different services could both be first.
pub fn wanted<'a>(facts: impl IntoIterator<Item = &'a ServiceFacts>, node: &str) -> Vec<Wanted> {
    let mut lists = BTreeMap::new();
    for facts in facts {
        let service = (&facts.namespace, &facts.name);
        for address in facts.addresses.iter().filter(|address| !address.announcers.is_empty()) {
            let (first, list) = lists.entry(address.address).or_insert((service, address));
            if service < *first {
                (*first, *list) = (service, address);
            }
        }
    }
    let ours = |(_, list): &(_, &meridian_api::service::Address)| {
        let rank = list.announcers.iter().position(|announcer| announcer == node)?;
        Some(Wanted {
            address: list.address,
            rank: u32::try_from(rank).ok()?,
            interfaces: list.interfaces.clone(),
        })
    };
    lists.values().filter_map(ours).collect()
}

/// Announces addresses, on a thread of its own, which nothing that the rest of the agent waits for holds up.
///
/// When it is dropped, it ends without a word: what it announced stays in the tables of hosts and switches, and the kernel goes
/// on to translate it. An agent that is upgraded is back before anybody misses it; if it is not, a standby
/// takes over within three seconds. A node that is left for good hands over without a gap: `set(vec![])`, and wait until `status`
/// is empty, three seconds at most.
#[derive(Debug)]
pub struct Announcer {
    shared: Arc<Shared>,
    wake: UnixDatagram,
    worker: Option<JoinHandle<()>>,
}

/// What the thread and its owner have in common.
#[derive(Debug, Default)]
struct Shared {
    orders: Mutex<Orders>,
    status: Mutex<Vec<(AnnouncementStatus, Instant)>>,
}

#[derive(Debug, Default)]
struct Orders {
    wanted: Vec<Wanted>,
    /// Something changed since it was last looked.
    changed: bool,
    end: bool,
}

impl Announcer {
    /// Starts in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// If there is no thread to be had.
    pub fn spawn() -> io::Result<Self> {
        let (wake, woken) = UnixDatagram::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let worker = worker::Worker::new(Arc::clone(&shared), woken);
        let worker = std::thread::Builder::new()
            .name("announce".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
            wake,
            worker: Some(worker),
        })
    }

    /// Announces these addresses, as far as others do not, and no others.
    pub fn set(&self, wanted: Vec<Wanted>) {
        self.order(|orders| {
            orders.changed |= orders.wanted != wanted;
            orders.wanted = wanted;
        });
    }

    /// Devices, their addresses or routes may have changed.
    pub fn links_changed(&self) {
        self.order(|orders| orders.changed = true);
    }

    /// What becomes of each address, by address and device.
    pub fn status(&self) -> Vec<AnnouncementStatus> {
        let with_age = |(status, since): &(AnnouncementStatus, Instant)| AnnouncementStatus {
            seconds: since.elapsed().as_secs(),
            ..status.clone()
        };
        lock(&self.shared.status).iter().map(with_age).collect()
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        let mut orders = lock(&self.shared.orders);
        change(&mut orders);
        if orders.changed || orders.end {
            // If it is full, the thread is about to wake anyway.
            let _ = self.wake.send(&[0]);
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.order(|orders| orders.end = true);
        if let Some(worker) = self.worker.take() {
            // A panic of the thread has been reported where it happened.
            let _ = worker.join();
        }
    }
}

/// Nothing under these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use meridian_api::service::Address;

    use super::*;

    fn service(name: &str, address: &str, announcers: &[&str]) -> ServiceFacts {
        ServiceFacts {
            namespace: "shop".into(),
            name: name.into(),
            addresses: vec![Address {
                address: address.parse().unwrap(),
                restricted: false,
                announcers: announcers.iter().map(ToString::to_string).collect(),
                interfaces: vec!["eth1".into()],
            }],
            ..ServiceFacts::default()
        }
    }

    #[test]
    fn a_node_announces_what_lists_name_it_for() {
        let facts = [
            service("a", "192.0.2.1", &["n1", "n2"]),
            service("b", "192.0.2.2", &["n1"]),
            service("c", "192.0.2.3", &[]),
            service("d", "2001:db8::4", &["n2"]),
        ];
        let own = |address: &str, rank| Wanted {
            address: address.parse().unwrap(),
            rank,
            interfaces: vec!["eth1".into()],
        };
        assert_eq!(wanted(&facts, "n2"), [own("192.0.2.1", 1), own("2001:db8::4", 0)]);
        assert_eq!(wanted(&facts, "n3"), []);
    }

    #[test]
    fn an_address_of_two_services_has_one_list_on_every_node() {
        let first = service("a", "192.0.2.1", &["n2", "n1"]);
        let second = service("b", "192.0.2.1", &["n1", "n2"]);
        let silent = service("0", "192.0.2.1", &[]);
        for facts in [[&first, &second, &silent], [&second, &silent, &first]] {
            let ranks = ["n1", "n2"].map(|node| wanted(facts, node)[0].rank);
            assert_eq!(ranks, [1, 0]);
        }
    }
}
