//! Who announces an address on one network: a state machine of one node, for one address on one device.
//!
//! Nodes of a list agree by what every host on the network may see and say, and nothing else. The rules:
//!
//! 1. **Silence decides.** Who does not hold the address asks the holder for it, and when [`PROBES`] questions in a row stay
//!    unanswered takes it. A better rank waits shorter before taking it, so the best of those that are there is first and
//!    the others hear of it. Questions to everybody are everybody's: who hears one asks none itself.
//! 2. **Who holds, keeps.** A node that is back asks before it claims, and does not claim what is answered for, whatever its
//!    rank. Connections through a node live in that node's connection tracking, so each move breaks all of them; MetalLB
//!    moves an address back, and breaks them twice for one death. The price is that addresses stay where a death put them.
//! 3. **The list's word is a change of the list.** Who becomes the first of the list while it runs claims at once. Who was the
//!    first and no longer is, or is no longer in the list, holds on and *offers* the address until somebody claims it: there is no gap,
//!    whoever hears of the new list first.
//! 4. **An offer is a question of the holder.** Only one that lets go has cause to ask everybody for what it holds itself. The
//!    first of the list claims at once; others ask, and claim when nobody answers.
//! 5. **Two that hold** hear each other's announcements, which are repeated for ever: the first of the list announces
//!    again, anybody else gives way. What two answer to the same question is not an announcement: of the two the
//!    one with the lower Ethernet address announces, so that they do not both give way.
//!
//! Must not do I/O nor read a clock: time is a parameter, randomness a seed. `convergence` tests the rules.

use std::time::Duration;

use super::frame::Mac;
use super::timing::{
    ANNOUNCEMENTS, ANSWER, CROWD, DEFENCE, GRID, HASTY, HEARTBEAT, INTERVAL, LINGER, OFFERED, OFFERS, PROBES, Pace,
    SELDOM, SELDOMEST, TIE, jitter,
};
use crate::protocol::Role;

use super::words::{Asker, Heard, Say, Time};

#[derive(Debug)]
struct Listening {
    holder: Option<Mac>,
    /// Questions that nobody has answered, whoever asked.
    unanswered: u32,
    /// When the last was asked.
    asked: Time,
    pace: Pace,
    due: Time,
}

#[derive(Debug)]
struct Holding {
    announced: usize,
    due: Time,
    /// When everybody was last asked for the address.
    asked: Option<Time>,
    /// When another was last heard to claim it, and who.
    conflict: Option<(Time, Mac)>,
    /// When that was last answered.
    defended: Option<Time>,
    offer: Option<Offer>,
}

/// The address is there for who wants it.
#[derive(Debug)]
struct Offer {
    made: u32,
    due: Time,
    until: Time,
    /// When nobody does: let go, or keep it.
    leaving: bool,
}

#[derive(Debug)]
enum State {
    Listening(Listening),
    Holding(Holding),
    Gone,
}

/// One node's part.
#[derive(Debug)]
pub(super) struct Machine {
    mac: Mac,
    rank: u32,
    interval: Duration,
    seed: u64,
    state: State,
}

impl Machine {
    /// A node that knows nothing yet of who holds the address.
    pub(super) fn new(now: Time, mac: Mac, rank: u32, seed: u64) -> Self {
        let mut machine = Self {
            mac,
            rank,
            interval: INTERVAL,
            seed,
            state: State::Gone,
        };
        let pace = if rank == 0 { Pace::Quick } else { Pace::Slow };
        machine.ask(now, None, pace);
        machine
    }

    /// When [`Machine::tick`] is next of use.
    pub(super) fn due(&self) -> Option<Time> {
        match &self.state {
            State::Listening(listening) => Some(listening.due),
            State::Holding(holding) => {
                let offer = holding.offer.as_ref().map(|offer| offer.due.min(offer.until));
                Some(offer.map_or(holding.due, |offer| offer.min(holding.due)))
            }
            State::Gone => None,
        }
    }

    pub(super) fn role(&self) -> Role {
        match &self.state {
            State::Holding(_) => Role::Announcing,
            State::Listening(Listening { holder: Some(_), .. }) => Role::Standby,
            State::Listening(_) | State::Gone => Role::Probing,
        }
    }

    /// Who else holds the address: instead of this node, or beside it.
    pub(super) fn other(&self, now: Time) -> Option<Mac> {
        match &self.state {
            State::Listening(listening) => listening.holder,
            State::Holding(holding) => {
                let recent = |(at, _): &(Time, Mac)| now.saturating_sub(*at) < 10 * DEFENCE;
                holding.conflict.filter(recent).map(|(_, mac)| mac)
            }
            State::Gone => None,
        }
    }

    /// It has let go, and there is nothing left to do.
    pub(super) fn gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// How many addresses the node cares for on the network.
    pub(super) fn set_crowd(&mut self, addresses: usize) {
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        self.interval = (INTERVAL / CROWD).saturating_mul(addresses).max(INTERVAL);
    }

    /// The device has another Ethernet address than before.
    pub(super) fn set_mac(&mut self, now: Time, mac: Mac) {
        if self.mac != mac {
            self.mac = mac;
            if let State::Holding(holding) = &mut self.state {
                holding.announced = 0;
                holding.due = now;
            }
        }
    }

    /// The list says so; a machine that is leaving stays.
    pub(super) fn set_rank(&mut self, now: Time, rank: u32) {
        let before = std::mem::replace(&mut self.rank, rank);
        match &mut self.state {
            State::Holding(holding) => {
                let leaving = holding.offer.as_ref().is_some_and(|offer| offer.leaving);
                if rank == 0 {
                    holding.offer = None;
                } else if before == 0 || leaving {
                    holding.offer = Some(Offer::new(now, false));
                }
                if leaving {
                    holding.announced = 0;
                    holding.due = now;
                }
            }
            State::Listening(_) if rank == 0 && before > 0 => self.claim(now),
            State::Listening(_) => {}
            State::Gone => self.ask(now, None, Pace::Quick),
        }
    }

    /// The node is no longer in the list.
    pub(super) fn leave(&mut self, now: Time) {
        match &mut self.state {
            State::Holding(holding) => {
                if !holding.offer.as_ref().is_some_and(|offer| offer.leaving) {
                    holding.offer = Some(Offer::new(now, true));
                }
            }
            State::Listening(_) => self.state = State::Gone,
            State::Gone => {}
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Time) -> Vec<Say> {
        let jitter = self.jitter(self.interval / 10);
        let heartbeat = self.interval * HEARTBEAT + jitter;
        let tie = self.jitter(TIE);
        match &mut self.state {
            State::Listening(listening) => {
                if now < listening.due {
                    return Vec::new();
                }
                if listening.unanswered < PROBES {
                    // The holder alone at first; everybody once it does not answer.
                    let to = listening.holder.filter(|_| listening.unanswered == 0);
                    listening.count(now, self.rank, tie);
                    return vec![Say::Probe(to)];
                }
                self.claim(now);
                self.tick(now)
            }
            State::Holding(holding) => {
                let mut say = Vec::new();
                if holding.due <= now {
                    holding.due = now + ANNOUNCEMENTS.get(holding.announced).copied().unwrap_or(heartbeat);
                    holding.announced += 1;
                    say.push(Say::Announce);
                }
                if let Some(offer) = &mut holding.offer {
                    let over = offer.until <= now;
                    if offer.due <= now || over {
                        offer.made += 1;
                        offer.due = now + OFFERS[usize::from(offer.made >= HASTY)];
                        say.push(Say::Probe(None));
                    }
                    if over && offer.leaving {
                        self.state = State::Gone;
                        // What was said last is that it is to be had.
                        return vec![Say::Probe(None)];
                    }
                    if over {
                        holding.offer = None;
                    }
                }
                say
            }
            State::Gone => Vec::new(),
        }
    }

    /// Something was heard of the address.
    pub(super) fn heard(&mut self, now: Time, heard: Heard) -> Vec<Say> {
        match heard {
            Heard::Asked { by, all } => self.asked(now, by, all),
            Heard::Claimed { mac } => self.claimed(now, mac),
        }
    }

    fn asked(&mut self, now: Time, by: Asker, all: bool) -> Vec<Say> {
        let probe = by.ip.is_none();
        let (rank, tie) = (self.rank, self.jitter(TIE));
        match &mut self.state {
            State::Holding(holding) => {
                // Who would hold it is not answered by one that lets go, who only looks for the place is.
                if probe && holding.offer.as_ref().is_some_and(|offer| offer.leaving) {
                    return Vec::new();
                }
                // An answer to everybody tells the other standbys, too.
                let all = all && probe;
                let mut say = vec![Say::Answer { to: by, all }];
                if all {
                    holding.asked = Some(now);
                    // The other of a conflict lets go. Who was told last to turn to it must hear of us.
                    if holding.conflict.is_some_and(|(_, mac)| mac == by.mac) {
                        holding.conflict = None;
                        say.push(Say::Announce);
                    }
                }
                say
            }
            State::Listening(listening) if probe && all => {
                if listening.holder == Some(by.mac) {
                    if rank == 0 {
                        self.claim(now);
                        return self.tick(now);
                    }
                    // The first may not know of the new list yet, and is not to come too late.
                    self.ask(now, None, Pace::Slow);
                } else if now.saturating_sub(listening.asked) >= listening.pace.patience() / 2 {
                    if listening.unanswered == 0 && listening.holder.is_some() {
                        // It has asked the holder alone before.
                        listening.unanswered = 1;
                    }
                    listening.count(now, rank, tie);
                }
                Vec::new()
            }
            State::Listening(_) | State::Gone => Vec::new(),
        }
    }

    fn claimed(&mut self, now: Time, mac: Mac) -> Vec<Say> {
        match &mut self.state {
            State::Holding(holding) => {
                if holding.offer.as_ref().is_some_and(|offer| offer.leaving) {
                    self.state = State::Gone;
                    return Vec::new();
                }
                let since = holding.asked.map(|asked| now.saturating_sub(asked));
                let answer = since.is_some_and(|since| since < ANSWER) && holding.offer.is_none();
                if self.rank == 0 || answer {
                    holding.conflict = Some((now, mac));
                    let silent = holding.defended.is_none_or(|at| now.saturating_sub(at) >= DEFENCE);
                    if silent && (self.rank == 0 || self.mac < mac) {
                        holding.defended = Some(now);
                        return vec![Say::Announce];
                    }
                    return Vec::new();
                }
                // It may have given way to us at the same moment, so it is asked soon.
                self.ask(now, Some(mac), Pace::Quick);
                Vec::new()
            }
            State::Listening(_) => {
                self.stand_by(now, mac);
                Vec::new()
            }
            State::Gone => Vec::new(),
        }
    }

    fn claim(&mut self, now: Time) {
        self.state = State::Holding(Holding {
            announced: 0,
            due: now,
            asked: None,
            conflict: None,
            defended: None,
            offer: None,
        });
    }

    /// Starts to ask.
    fn ask(&mut self, now: Time, holder: Option<Mac>, pace: Pace) {
        let due = now + self.jitter(pace.patience() / 2);
        self.state = State::Listening(Listening {
            holder,
            unanswered: 0,
            asked: now,
            pace,
            due,
        });
    }

    /// Somebody holds it.
    fn stand_by(&mut self, now: Time, holder: Mac) {
        let interval = self.interval
            * if self.rank < SELDOM {
                1
            } else {
                self.rank.min(SELDOMEST)
            };
        let due = now + interval.mul_f32(0.95) + self.jitter(interval / 10);
        self.state = State::Listening(Listening {
            holder: Some(holder),
            unanswered: 0,
            asked: now,
            pace: Pace::Slow,
            due: GRID * u32::try_from(due.as_millis().div_ceil(GRID.as_millis())).unwrap_or(u32::MAX),
        });
    }

    fn jitter(&mut self, most: Duration) -> Duration {
        jitter(&mut self.seed, most)
    }
}

impl Listening {
    /// A question was asked.
    fn count(&mut self, now: Time, rank: u32, tie: Duration) {
        self.asked = now;
        if self.unanswered == PROBES {
            return;
        }
        self.unanswered += 1;
        self.due = now + self.pace.patience();
        if self.unanswered == PROBES {
            self.due += self.pace.stagger() * rank + tie;
        }
    }
}

impl Offer {
    fn new(now: Time, leaving: bool) -> Self {
        Self {
            made: 0,
            due: now,
            until: now + if leaving { LINGER } else { OFFERED },
            leaving,
        }
    }
}
