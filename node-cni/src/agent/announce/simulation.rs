//! The state machines of several nodes on a wire that is slow, loses and parts, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Role;
use super::frame::Mac;
use super::machine::Machine;
use super::words::{Asker, Heard, Say, Time};

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) machine: Option<Machine>,
    alive: bool,
    pub(super) rank: Option<u32>,
    /// The part of the network it is in.
    pub(super) side: bool,
    /// Its clock before the simulation's.
    offset: Time,
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) now: Time,
    pub(super) nodes: Vec<Node>,
    /// By time and a number, to whom.
    frames: BTreeMap<(Time, u64), (usize, Heard)>,
    /// Views of the list that are on their way.
    lists: BTreeMap<(Time, u64), (usize, Option<u32>)>,
    pub(super) sent: u64,
    random: u64,
    /// Of a thousand frames, how many are lost.
    pub(super) loss: u64,
    /// Whom a client of the network turns to.
    client: Option<Mac>,
    /// For how long nobody was there whom it turned to.
    pub(super) gap: Duration,
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
    pub(super) fn new(nodes: usize, seed: u64) -> Self {
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
    pub(super) fn settled(nodes: usize, seed: u64) -> Self {
        let mut wire = Self::new(nodes, seed);
        let somewhere = ms(wire.random(2000));
        wire.run(5 * SECOND + somewhere);
        assert_eq!(wire.holders(), [0]);
        wire.gap = Duration::ZERO;
        wire
    }

    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    pub(super) fn start(&mut self, number: usize) {
        let seed = self.random(u64::MAX >> 34);
        let at = &mut self.nodes[number];
        at.alive = true;
        if let Some(rank) = at.rank.filter(|_| at.machine.is_none()) {
            at.machine = Some(Machine::new(self.now + at.offset, mac(number), rank, seed));
        }
    }

    pub(super) fn kill(&mut self, number: usize) {
        (self.nodes[number].machine, self.nodes[number].alive) = (None, false);
    }

    /// A list, in the order of ranks; each node hears of it some time later, and of none that is older after that.
    pub(super) fn list(&mut self, list: &[usize], delays: &[u64]) {
        for (number, delay) in delays.iter().enumerate() {
            let rank = list
                .iter()
                .position(|other| *other == number)
                .map(|rank| u32::try_from(rank).unwrap());
            self.lists
                .retain(|(at, _), (to, _)| *to != number || *at < self.now + ms(*delay));
            self.sent += 1;
            self.lists.insert((self.now + ms(*delay), self.sent), (number, rank));
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

    pub(super) fn holders(&self) -> Vec<usize> {
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

    pub(super) fn run(&mut self, duration: Duration) {
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
                self.gap += next.min(end).saturating_sub(self.now);
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
