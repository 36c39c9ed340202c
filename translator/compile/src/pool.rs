//! [`Pool`]: the pod addresses of one network, and which of them to hand out next.
//!
//! Addresses never used go first, in order; then those given back, the longest free first. So an address rests before
//! another pod gets it, and whatever still remembers its former pod (ARP caches, conntrack, DNS) has time to forget.
//! Only what is in use or rests takes memory, so a /64 costs no more than a /24.

use std::collections::VecDeque;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::ip;

/// With so many resting the next address is one of them, even if there are unused ones: a network that is never used up
/// (every /64) would remember each pod there ever was. More than pods of a node, so that all may come anew at once.
const MOST_RESTING: usize = 256;

#[derive(Debug)]
pub(crate) struct Pool {
    network: IpNetwork,
    first: u128,
    last: u128,
    taken: u128,
    /// No offset below is unused; those from here on may be.
    unused_from: u128,
    /// Offsets given back, the longest free first.
    resting: VecDeque<u128>,
}

impl Pool {
    pub(crate) fn new(network: IpNetwork) -> Self {
        let (first, last) = ip::pod_offsets(network);
        Self {
            network,
            first,
            last,
            taken: 0,
            unused_from: first,
            resting: VecDeque::new(),
        }
    }

    pub(crate) fn network(&self) -> IpNetwork {
        self.network
    }

    /// How many addresses pods can have at most.
    pub(crate) fn capacity(&self) -> u128 {
        // Of ::/0 all but three: one more than the last offset would not fit.
        if self.first > self.last {
            0
        } else {
            self.last - self.first + 1
        }
    }

    /// How many addresses pods have.
    pub(crate) fn used(&self) -> u128 {
        self.taken
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.taken >= self.capacity()
    }

    /// Whether pods may have this address at all.
    pub(crate) fn admits(&self, ip: IpAddr) -> bool {
        ip::offset(self.network, ip).is_some_and(|offset| (self.first..=self.last).contains(&offset))
    }

    /// Notes that an address which [`Self::admits`] is in use from now on.
    pub(crate) fn take(&mut self, ip: IpAddr) {
        let offset = self.offset(ip);
        self.taken += 1;
        if let Some(at) = self.resting.iter().position(|&resting| resting == offset) {
            self.resting.remove(at);
        }
    }

    /// Notes that an address is no longer in use.
    pub(crate) fn give_back(&mut self, ip: IpAddr) {
        let offset = self.offset(ip);
        self.taken -= 1;
        self.resting.push_back(offset);
    }

    /// The address to hand out next. It stays free until [`Self::take`].
    pub(crate) fn next(&mut self, in_use: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        if self.is_exhausted() {
            return None;
        }
        while self.resting.len() < MOST_RESTING && self.unused_from <= self.last {
            let ip = ip::nth(self.network, self.unused_from);
            if !in_use(ip) && !self.resting.contains(&self.unused_from) {
                return Some(ip);
            }
            self.unused_from += 1;
        }
        self.resting.front().map(|&offset| ip::nth(self.network, offset))
    }

    fn offset(&self, ip: IpAddr) -> u128 {
        ip::offset(self.network, ip).expect("only addresses of the network are registered")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    struct Users {
        pool: Pool,
        used: RefCell<BTreeSet<IpAddr>>,
    }

    impl Users {
        fn of(network: &str) -> Self {
            Self {
                pool: Pool::new(network.parse().unwrap()),
                used: RefCell::default(),
            }
        }

        fn next(&mut self) -> Option<String> {
            let ip = self.pool.next(|ip| self.used.borrow().contains(&ip))?;
            self.take(&ip.to_string());
            Some(ip.to_string())
        }

        fn take(&mut self, ip: &str) {
            self.pool.take(ip.parse().unwrap());
            self.used.get_mut().insert(ip.parse().unwrap());
        }

        fn give_back(&mut self, ip: &str) {
            self.pool.give_back(ip.parse().unwrap());
            self.used.get_mut().remove(&ip.parse().unwrap());
        }

        fn all(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.next()).collect()
        }
    }

    #[test]
    fn addresses_go_out_in_order_until_none_is_left() {
        let mut users = Users::of("10.0.0.0/29");
        assert_eq!(users.all(), ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert!(users.pool.is_exhausted());
    }

    #[test]
    fn an_address_given_back_goes_out_last() {
        let mut users = Users::of("10.0.0.0/29");
        users.next();
        users.next();
        users.give_back("10.0.0.4");
        assert_eq!(users.all(), ["10.0.0.6", "10.0.0.4"]);
    }

    #[test]
    fn of_addresses_given_back_the_longest_free_goes_first() {
        let mut users = Users::of("10.0.0.0/29");
        users.all();
        users.give_back("10.0.0.6");
        users.give_back("10.0.0.4");
        assert_eq!(users.all(), ["10.0.0.6", "10.0.0.4"]);
    }

    #[test]
    fn an_address_taken_out_of_turn_is_passed_over_and_rests_when_given_back() {
        let mut users = Users::of("10.0.0.0/29");
        users.take("10.0.0.5");
        users.give_back("10.0.0.5");
        assert_eq!(users.all(), ["10.0.0.4", "10.0.0.6", "10.0.0.5"]);
    }

    #[test]
    fn a_slash_64_works_like_a_small_network() {
        let mut users = Users::of("fd00::/64");
        assert_eq!(users.next().as_deref(), Some("fd00::4"));
        users.give_back("fd00::4");
        assert_eq!(users.next().as_deref(), Some("fd00::5"));
    }

    #[test]
    fn a_network_that_is_never_used_up_remembers_a_limited_number_of_addresses() {
        let mut users = Users::of("fd00::/64");
        for _ in 0..3 * MOST_RESTING {
            let ip = users.next().unwrap();
            users.give_back(&ip);
        }
        assert_eq!(users.pool.resting.len(), MOST_RESTING);
    }

    #[test]
    fn the_smallest_slice_has_no_room_for_pods() {
        assert_eq!(Users::of("10.0.0.0/30").all(), Vec::<String>::new());
    }

    #[test]
    fn reserved_addresses_are_not_for_pods() {
        let pool = Pool::new("10.0.0.0/29".parse().unwrap());
        for ip in ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.7", "10.0.0.8", "fd00::5"] {
            assert!(!pool.admits(ip.parse().unwrap()), "{ip}");
        }
    }
}
