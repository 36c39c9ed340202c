//! [`Pool`]: the pod addresses of one network, and which of them to hand out next.
//!
//! Addresses never used go first, in order; then those given back, the longest free first. So an address rests before
//! another pod gets it, and whatever still remembers its former pod (ARP caches, conntrack, DNS) has time to forget.
//! Only what is in use or rests takes memory, so a /64 costs no more than a /24.

use std::collections::VecDeque;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::range::AddressRange;

use crate::ip;
use crate::ranges::{self, Range};

/// With so many resting the next address is one of them, even if there are unused ones: a network that is never used up
/// (every /64) would remember each pod there ever was. More than pods of a node, so that all may come anew at once.
const MOST_RESTING: usize = 256;

/// Which addresses of a network are whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) network: IpNetwork,
    /// The router's.
    pub(crate) gateway: IpAddr,
    /// Offsets that pods may have, first and last; empty (first > last) where there is no room.
    pods: Range,
    /// Offsets that pods are given only if they ask for them, first and last, sorted and disjoint.
    reserved: Box<[Range]>,
}

impl Layout {
    /// That of a slice: what the host needs comes first.
    pub(crate) fn slice(network: IpNetwork) -> Self {
        Self {
            network,
            gateway: ip::gateway(network),
            pods: ip::pod_offsets(network),
            reserved: Box::default(),
        }
    }

    /// That of a Subnet, in which nobody but the router has a place of its own.
    pub(crate) fn subnet(network: IpNetwork, gateway: IpAddr, reserved: &[AddressRange]) -> Self {
        let offset = |address| ip::offset(network, address);
        let ranges = reserved
            .iter()
            .filter_map(|range| offset(range.first()).zip(offset(range.last())));
        // Whoever asks for the gateway is refused: that it is never given without is all there is to see to here.
        let ranges = ranges.chain(offset(gateway).map(|at| (at, at)));
        Self {
            network,
            gateway,
            pods: ip::subnet_offsets(network),
            reserved: ranges::union(ranges.collect()).into(),
        }
    }

    /// Whether pods may have this address at all.
    pub(crate) fn admits(&self, ip: IpAddr) -> bool {
        let (first, last) = self.pods;
        ip != self.gateway && ip::offset(self.network, ip).is_some_and(|offset| (first..=last).contains(&offset))
    }

    /// The end of the reserved range that an offset is in.
    fn reserved(&self, offset: u128) -> Option<u128> {
        let at = self.reserved.partition_point(|(_, last)| *last < offset);
        let (first, last) = self.reserved.get(at)?;
        (*first <= offset).then_some(*last)
    }

    /// How many addresses pods can be given without asking.
    fn capacity(&self) -> u128 {
        let (first, last) = self.pods;
        if first > last {
            return 0;
        }
        let inside = self.reserved.iter().map(|(from, to)| {
            let (from, to) = ((*from).max(first), (*to).min(last));
            if from > to { 0 } else { to - from + 1 }
        });
        // Of ::/0 all but three: one more than the last offset would not fit.
        last - first + 1 - inside.sum::<u128>()
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    layout: Layout,
    capacity: u128,
    /// Of what is given without asking.
    taken: u128,
    /// Of what is reserved.
    asked_for: u128,
    /// No offset below is unused; those from here on may be.
    unused_from: u128,
    /// Offsets given back, the longest free first.
    resting: VecDeque<u128>,
}

impl Pool {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            capacity: layout.capacity(),
            unused_from: layout.pods.0,
            layout,
            taken: 0,
            asked_for: 0,
            resting: VecDeque::new(),
        }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn network(&self) -> IpNetwork {
        self.layout.network
    }

    /// How many addresses pods can be given without asking for them.
    pub(crate) fn capacity(&self) -> u128 {
        self.capacity
    }

    /// How many addresses pods have.
    pub(crate) fn used(&self) -> u128 {
        self.taken + self.asked_for
    }

    /// How many addresses pods can still be given without asking for them.
    pub(crate) fn free(&self) -> u128 {
        self.capacity.saturating_sub(self.taken)
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.free() == 0
    }

    /// Whether pods may have this address at all.
    pub(crate) fn admits(&self, ip: IpAddr) -> bool {
        self.layout.admits(ip)
    }

    /// Notes that an address which [`Self::admits`] is in use from now on.
    pub(crate) fn take(&mut self, ip: IpAddr) {
        let offset = self.offset(ip);
        if self.layout.reserved(offset).is_some() {
            self.asked_for += 1;
            return;
        }
        self.taken += 1;
        if let Some(at) = self.resting.iter().position(|&resting| resting == offset) {
            self.resting.remove(at);
        }
    }

    /// Notes that an address is no longer in use.
    pub(crate) fn give_back(&mut self, ip: IpAddr) {
        let offset = self.offset(ip);
        if self.layout.reserved(offset).is_some() {
            self.asked_for -= 1;
            return;
        }
        self.taken -= 1;
        self.resting.push_back(offset);
    }

    /// The address to hand out next, one of those to `avoid` only where there are no others. It stays free until [`Self::take`].
    pub(crate) fn next(&mut self, in_use: impl Fn(IpAddr) -> bool, avoid: &[IpAddr]) -> Option<IpAddr> {
        if self.is_exhausted() {
            return None;
        }
        let network = self.network();
        let mut first = None;
        if self.resting.len() < MOST_RESTING {
            let mut unused = self.unused(self.unused_from, &in_use);
            self.unused_from = unused.unwrap_or(self.layout.pods.1.saturating_add(1));
            first = unused;
            // What is avoided stays unused.
            while let Some(offset) = unused {
                let ip = ip::nth(network, offset);
                if !avoid.contains(&ip) {
                    return Some(ip);
                }
                unused = offset.checked_add(1).and_then(|next| self.unused(next, &in_use));
            }
        }
        let resting = || self.resting.iter().map(|&offset| ip::nth(network, offset));
        let rested = resting().find(|ip| !avoid.contains(ip));
        let avoided = || {
            first
                .map(|offset| ip::nth(network, offset))
                .or_else(|| resting().next())
        };
        rested.or_else(avoided)
    }

    /// The first offset from here on that was never used.
    fn unused(&self, from: u128, in_use: impl Fn(IpAddr) -> bool) -> Option<u128> {
        let mut offset = from;
        while offset <= self.layout.pods.1 {
            let passed = match self.layout.reserved(offset) {
                Some(last) => last,
                None if in_use(ip::nth(self.network(), offset)) || self.resting.contains(&offset) => offset,
                None => return Some(offset),
            };
            offset = passed.checked_add(1)?;
        }
        None
    }

    fn offset(&self, ip: IpAddr) -> u128 {
        ip::offset(self.network(), ip).expect("only addresses of the network are registered")
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
        avoid: Vec<IpAddr>,
    }

    impl Users {
        fn of(network: &str) -> Self {
            Self {
                pool: Pool::new(Layout::slice(network.parse().unwrap())),
                used: RefCell::default(),
                avoid: Vec::new(),
            }
        }

        fn of_subnet(network: &str, gateway: &str, reserved: &[&str]) -> Self {
            let reserved: Vec<AddressRange> = reserved.iter().map(|range| range.parse().unwrap()).collect();
            let layout = Layout::subnet(network.parse().unwrap(), gateway.parse().unwrap(), &reserved);
            Self {
                pool: Pool::new(layout),
                ..Self::of(network)
            }
        }

        fn next(&mut self) -> Option<String> {
            let ip = self.pool.next(|ip| self.used.borrow().contains(&ip), &self.avoid)?;
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
    fn what_is_reserved_in_a_subnet_is_had_by_those_who_ask() {
        let mut users = Users::of_subnet("10.0.0.0/29", "10.0.0.3", &["10.0.0.4-10.0.0.5", "10.0.0.5"]);
        assert_eq!((users.pool.capacity(), users.pool.free()), (3, 3));
        assert!(users.pool.admits("10.0.0.4".parse().unwrap()) && !users.pool.admits("10.0.0.3".parse().unwrap()));
        users.take("10.0.0.4");
        assert_eq!((users.pool.used(), users.pool.free()), (1, 3));
        assert_eq!(users.all(), ["10.0.0.1", "10.0.0.2", "10.0.0.6"]);
        users.give_back("10.0.0.4");
        assert_eq!(users.all(), Vec::<String>::new());
        assert_eq!((users.pool.used(), users.pool.free()), (3, 0));
    }

    #[test]
    fn what_is_avoided_goes_out_last_and_is_not_forgotten() {
        let mut users = Users::of_subnet("10.0.0.0/29", "10.0.0.1", &[]);
        users.avoid = vec!["10.0.0.2".parse().unwrap()];
        assert_eq!(users.next().as_deref(), Some("10.0.0.3"));
        users.avoid.clear();
        assert_eq!(users.next().as_deref(), Some("10.0.0.2"));
        users.avoid = vec!["10.0.0.4".parse().unwrap()];
        assert_eq!(users.all(), ["10.0.0.5", "10.0.0.6", "10.0.0.4"]);
    }

    #[test]
    fn a_large_reserved_range_is_passed_at_once() {
        let mut users = Users::of_subnet("fd00::/64", "fd00::1", &["fd00::/65"]);
        assert_eq!(users.next().as_deref(), Some("fd00::8000:0:0:0"));
    }

    #[test]
    fn reserved_addresses_are_not_for_pods() {
        let pool = Pool::new(Layout::slice("10.0.0.0/29".parse().unwrap()));
        for ip in ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.7", "10.0.0.8", "fd00::5"] {
            assert!(!pool.admits(ip.parse().unwrap()), "{ip}");
        }
    }
}
