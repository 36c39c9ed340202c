//! The state machines of several nodes on a wire that is slow, loses and parts, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::frame::Mac;
use super::machine::{Asker, Heard, Machine, Role, Say, Time};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Node {
    machine: Option<Machine>,
    alive: bool,
    rank: Option<u32>,
    /// The part of the network it is in.
    side: bool,
    /// Its clock before the simulation's.
    offset: Time,
}

#[derive(Debug)]
struct Wire {
    now: Time,
    nodes: Vec<Node>,
    /// By time and a number, to whom.
    frames: BTreeMap<(Time, u64), (usize, Heard)>,
    /// Views of the list that are on their way.
    lists: BTreeMap<(Time, u64), (usize, Option<u32>)>,
    sent: u64,
    random: u64,
    /// Of a thousand frames, how many are lost.
    loss: u64,
    /// Whom a client of the network turns to.
    client: Option<Mac>,
    /// For how long nobody was there whom it turned to.
    gap: Duration,
}

fn mac(node: usize) -> Mac {
    // The order of these is not that of the list.
    Mac([2, 0, 0, 0, [7, 3, 9, 1, 5, 2][node], u8::try_from(node).unwrap()])
}

fn node(mac: Mac) -> usize {
    mac.0[5].into()
}

impl Wire {
    /// Nodes in the order of the list, which start at once.
    fn new(nodes: usize, seed: u64) -> Self {
        let mut wire = Self {
            now: Time::ZERO,
            nodes: Vec::new(),
            frames: BTreeMap::new(),
            lists: BTreeMap::new(),
            sent: 0,
            random: seed,
            loss: 0,
            client: None,
            gap: Duration::ZERO,
        };
        for number in 0..nodes {
            let offset = ms(wire.random(5000));
            wire.nodes.push(Node {
                machine: None,
                alive: false,
                rank: Some(u32::try_from(number).unwrap()),
                side: false,
                offset,
            });
            wire.start(number);
        }
        wire
    }

    /// Nodes of which the first of the list holds the address.
    fn settled(nodes: usize, seed: u64) -> Self {
        let mut wire = Self::new(nodes, seed);
        let somewhere = ms(wire.random(2000));
        wire.run(5 * SECOND + somewhere);
        assert_eq!(wire.holders(), [0]);
        wire.gap = Duration::ZERO;
        wire
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn start(&mut self, number: usize) {
        let seed = self.random(u64::MAX >> 34);
        let at = &mut self.nodes[number];
        at.alive = true;
        if let Some(rank) = at.rank.filter(|_| at.machine.is_none()) {
            at.machine = Some(Machine::new(self.now + at.offset, mac(number), rank, seed));
        }
    }

    fn kill(&mut self, number: usize) {
        (self.nodes[number].machine, self.nodes[number].alive) = (None, false);
    }

    /// A list, in the order of ranks; each node hears of it some time later, and of none that is older after that.
    fn list(&mut self, list: &[usize], delays: &[u64]) {
        for number in 0..self.nodes.len() {
            let rank = list
                .iter()
                .position(|other| *other == number)
                .map(|rank| u32::try_from(rank).unwrap());
            self.lists
                .retain(|(at, _), (to, _)| *to != number || *at < self.now + ms(delays[number]));
            self.sent += 1;
            self.lists
                .insert((self.now + ms(delays[number]), self.sent), (number, rank));
        }
    }

    fn take(&mut self, number: usize, rank: Option<u32>) {
        let at = &mut self.nodes[number];
        at.rank = rank;
        match (&mut at.machine, rank) {
            (Some(machine), Some(rank)) => machine.set_rank(self.now + at.offset, rank),
            (Some(machine), None) => machine.leave(self.now + at.offset),
            (None, _) if at.alive => self.start(number),
            (None, _) => {}
        }
    }

    fn holders(&self) -> Vec<usize> {
        let holds = |at: &Node| {
            at.machine
                .as_ref()
                .is_some_and(|machine| machine.role() == Role::Announcing)
        };
        (0..self.nodes.len())
            .filter(|number| holds(&self.nodes[*number]))
            .collect()
    }

    fn transmit(&mut self, from: usize, said: Vec<Say>) {
        for say in said {
            let own = Asker {
                mac: mac(from),
                ip: None,
            };
            let claim = Heard::Claimed { mac: mac(from) };
            let (to, heard) = match say {
                Say::Announce => (None, claim),
                Say::Probe(to) => (
                    to,
                    Heard::Asked {
                        by: own,
                        all: to.is_none(),
                    },
                ),
                Say::Answer { to, all } => ((!all).then_some(to.mac), claim),
            };
            if to.is_none() && heard == claim {
                self.client = Some(mac(from));
            }
            for number in 0..self.nodes.len() {
                let meant = to.is_none_or(|to| node(to) == number);
                let connected = self.nodes[number].side == self.nodes[from].side;
                if number != from && meant && connected && self.random(1000) >= self.loss {
                    self.sent += 1;
                    let latency = Duration::from_micros(100 + self.random(5000));
                    self.frames.insert((self.now + latency, self.sent), (number, heard));
                }
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = |at: &Node| Some(at.machine.as_ref()?.due()?.saturating_sub(at.offset).max(self.now));
            let machine = (0..self.nodes.len())
                .filter_map(|number| Some((due(&self.nodes[number])?, number)))
                .min();
            let frame = self.frames.keys().next().map(|(at, _)| *at);
            let list = self.lists.keys().next().map(|(at, _)| *at);
            let next = [machine.map(|(at, _)| at), frame, list]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Time::MAX);
            let served = self.client.is_some_and(|client| self.holders().contains(&node(client)));
            if !served {
                self.gap += next.min(end) - self.now;
            }
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            if list == Some(next) {
                let (_, (number, rank)) = self.lists.pop_first().unwrap();
                self.take(number, rank);
            } else if frame == Some(next) {
                let (_, (number, heard)) = self.frames.pop_first().unwrap();
                let at = &mut self.nodes[number];
                let now = self.now + at.offset;
                let said = at.machine.as_mut().map(|machine| machine.heard(now, heard));
                self.transmit(number, said.unwrap_or_default());
            } else if let Some((_, number)) = machine {
                let at = &mut self.nodes[number];
                let now = self.now + at.offset;
                let said = at.machine.as_mut().map(|machine| machine.tick(now));
                self.transmit(number, said.unwrap_or_default());
            }
            for at in &mut self.nodes {
                at.machine.take_if(|machine| machine.gone());
            }
        }
    }
}

#[test]
fn the_first_of_the_list_announces_at_once() {
    for seed in 0..100 {
        let mut wire = Wire::new(4, seed);
        wire.run(ms(400));
        assert_eq!(wire.holders(), [0], "seed {seed}");
        wire.run(60 * SECOND);
        assert_eq!(wire.holders(), [0], "seed {seed}");
    }
}

#[test]
fn the_next_of_the_list_takes_over_within_three_seconds() {
    for seed in 0..300 {
        let mut wire = Wire::settled(4, seed);
        wire.kill(0);
        wire.run(3 * SECOND);
        assert_eq!(wire.holders(), [1], "seed {seed}");
        assert!(wire.gap <= ms(3000), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn the_third_takes_over_from_two_that_died_within_four_seconds() {
    for seed in 0..300 {
        let mut wire = Wire::settled(4, seed);
        wire.kill(0);
        wire.kill(1);
        wire.run(4 * SECOND);
        assert_eq!(wire.holders(), [2], "seed {seed}");
        assert!(wire.gap <= ms(3500), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn one_that_comes_back_leaves_the_address_where_it_is() {
    for seed in 0..100 {
        let mut wire = Wire::settled(3, seed);
        wire.kill(0);
        wire.run(5 * SECOND);
        wire.start(0);
        wire.gap = Duration::ZERO;
        wire.run(60 * SECOND);
        assert_eq!((wire.holders(), wire.gap), (vec![1], Duration::ZERO), "seed {seed}");
    }
}

#[test]
fn one_that_was_away_for_two_seconds_announces_again_alone() {
    for seed in 0..100 {
        let mut wire = Wire::settled(3, seed);
        wire.kill(0);
        wire.run(ms(1200));
        wire.start(0);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [0], "seed {seed}");
    }
}

#[test]
fn a_new_order_moves_the_address_without_a_gap_whoever_hears_of_it_first() {
    for seed in 0..500 {
        let mut wire = Wire::settled(4, seed);
        let delays: Vec<_> = (0..4).map(|_| wire.random(900)).collect();
        // To one that stood by, or to one that was last.
        let list = if seed % 2 == 0 { [1, 0, 2, 3] } else { [3, 1, 2, 0] };
        wire.list(&list, &delays);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [list[0]], "seed {seed}");
        assert!(wire.gap <= ms(50), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn a_list_of_others_moves_the_address_without_a_gap() {
    for seed in 0..500 {
        let mut wire = Wire::settled(4, seed);
        wire.list(&[0, 1], &[0; 4]);
        wire.run(5 * SECOND);
        let delays: Vec<_> = (0..4).map(|_| wire.random(400)).collect();
        wire.list(&[2, 3], &delays);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [2], "seed {seed}");
        assert!(wire.gap <= ms(50), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn a_new_first_that_is_dead_moves_nothing() {
    let mut wire = Wire::settled(3, 7);
    wire.kill(1);
    wire.list(&[1, 0, 2], &[0, 0, 0]);
    wire.run(60 * SECOND);
    assert_eq!((wire.holders(), wire.gap), (vec![0], Duration::ZERO));
}

#[test]
fn one_that_leaves_hands_over() {
    for seed in 0..100 {
        let mut wire = Wire::settled(3, seed);
        wire.list(&[1, 2], &[0, 50, 50]);
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [1], "seed {seed}");
        assert!(wire.gap <= ms(50), "seed {seed}: {:?}", wire.gap);
    }
}

#[test]
fn an_address_that_nobody_wants_is_let_go() {
    let mut wire = Wire::settled(3, 1);
    wire.list(&[], &[0, 10, 20]);
    wire.run(3 * SECOND);
    assert!(wire.nodes.iter().all(|at| at.machine.is_none()));
}

#[test]
fn parts_of_a_network_that_meet_again_agree_on_the_first_of_the_list() {
    for seed in 0..100 {
        let mut wire = Wire::settled(4, seed);
        for number in 2..4 {
            wire.nodes[number].side = true;
        }
        wire.run(10 * SECOND);
        assert_eq!(wire.holders(), [0, 2], "seed {seed}");
        for at in &mut wire.nodes {
            at.side = false;
        }
        wire.run(12 * SECOND);
        assert_eq!(wire.holders(), [0], "seed {seed}");
    }
}

#[test]
fn what_stands_by_is_cheap() {
    let mut wire = Wire::settled(6, 3);
    let before = wire.sent;
    wire.run(60 * SECOND);
    // Two ask every second, the others every three, four and five; each is answered; and announcements.
    let frames = wire.sent - before;
    assert!((300..420).contains(&frames), "{frames} frames in a minute");
}

#[derive(Debug, Clone)]
enum Event {
    Kill(usize),
    Start(usize),
    Side(usize, bool),
    Loss(u64),
    List(Vec<usize>, Vec<u64>),
    Wait(u64),
}

fn event(nodes: usize) -> impl Strategy<Value = Event> {
    let order = Just((0..nodes).collect::<Vec<_>>()).prop_shuffle();
    let delays = prop::collection::vec(0..3000_u64, nodes);
    prop_oneof![
        2 => (0..nodes).prop_map(Event::Kill),
        2 => (0..nodes).prop_map(Event::Start),
        2 => (0..nodes, any::<bool>()).prop_map(|(node, side)| Event::Side(node, side)),
        1 => (0..500_u64).prop_map(Event::Loss),
        1 => (order, 1..=nodes, delays).prop_map(|(mut order, length, delays)| {
            order.truncate(length);
            Event::List(order, delays)
        }),
        4 => (0..4000_u64).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened: once it is over, one node announces, as long as one is there; it stays; and when it dies, the best
    /// of those that are left does.
    #[test]
    fn there_is_one_that_announces(events in prop::collection::vec(event(5), 0..40), seed: u64) {
        let mut wire = Wire::new(5, seed);
        for event in events {
            match event {
                Event::Kill(node) => wire.kill(node),
                Event::Start(node) => wire.start(node),
                Event::Side(node, side) => wire.nodes[node].side = side,
                Event::Loss(loss) => wire.loss = loss,
                Event::List(list, delays) => wire.list(&list, &delays),
                Event::Wait(milliseconds) => wire.run(ms(milliseconds)),
            }
        }
        wire.loss = 0;
        for at in &mut wire.nodes {
            at.side = false;
        }
        wire.run(40 * SECOND);
        let mut live: Vec<_> = (0..5).filter(|node| wire.nodes[*node].machine.is_some()).collect();
        live.sort_by_key(|node| wire.nodes[*node].rank);
        let holders = wire.holders();
        prop_assert_eq!(holders.len(), live.len().min(1), "{:?}", wire);
        wire.gap = Duration::ZERO;
        wire.run(30 * SECOND);
        prop_assert_eq!(wire.holders(), holders.clone());
        if let Some(holder) = holders.first() {
            prop_assert_eq!(wire.gap, Duration::ZERO);
            wire.kill(*holder);
            live.retain(|node| node != holder);
            // The fifth of a list asks every four seconds, and waits two more.
            wire.run(9 * SECOND);
            prop_assert_eq!(wire.holders(), live.into_iter().take(1).collect::<Vec<_>>());
        }
    }
}
