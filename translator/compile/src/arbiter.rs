//! [`Arbiter`]: who gets what of a space in which each thing has at most one holder.
//!
//! Parties either come with a record (the cluster says what they have: `status.podIPs`, `spec.podCIDRs`) or ask for
//! whatever is free. In this order:
//! 1. *Records.* The oldest party whose record names a thing has a right to it; records that are only wished for come after
//!    all others. A party holds all of its record or nothing: it loses as long as an older party's record overlaps its own, even if that party itself loses to a third
//!    one. So it is a matter of two records alone, and nobody's loss hands a thing on by surprise.
//! 2. *Claims.* What a party without a record held before stays with it unless a record wins it away. Of two claims
//!    the older party's counts.
//! 3. *Allocation.* Whoever still lacks something, also beside its record if it says so, waits; the oldest is served first, from what nobody holds and no
//!    record names. Who wants something particular gets that or nothing.
//!
//! The outcome is a function of parties, records and claims; what holds after [`Arbiter::settle`] fed back as claims
//! gives the same outcome. A change costs what it touches.
//!
//! Knows neither pods nor nodes; what the things are is the [`Space`]'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use meridian_model::Timestamp;

/// A thing to be held: an address, or a network.
pub(crate) trait Item: Copy + Ord + Debug {
    /// The keys of `known` that share something with this one, itself included.
    fn overlapping<V>(self, known: &BTreeMap<Self, V>) -> Vec<Self>;
}

/// Where things come from.
pub(crate) trait Space {
    type Item: Item;

    /// Whether a party holding `held` may hold `item` as well.
    fn admits(&self, held: &[Self::Item], item: Self::Item) -> bool;

    /// An item is held or recorded from now on.
    fn take(&mut self, item: Self::Item);

    /// An item is neither held nor recorded any more.
    fn give_back(&mut self, item: Self::Item);

    /// What a party holding `held` still lacks, from what is not `in_use` and shares nothing with what it is to `avoid`;
    /// nothing if not all of it is there.
    fn complete<V>(
        &mut self,
        in_use: &BTreeMap<Self::Item, V>,
        held: &[Self::Item],
        avoid: &[Self::Item],
    ) -> Option<Vec<Self::Item>>;
}

/// What a party comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bid<I> {
    pub(crate) created: Timestamp,
    /// What the cluster says the party has; empty if it says nothing.
    pub(crate) record: Box<[I]>,
    /// Whether the record is what somebody wishes for, and not what is so already.
    pub(crate) is_wish: bool,
    /// Whether it asks for what the record lacks, too.
    pub(crate) wants_more: bool,
    /// What it held before. Of no account beside a record that it wants no more than.
    pub(crate) claim: Box<[I]>,
    /// What it has to have and nothing else instead, of whatever it has no record of: it waits until nobody else has it.
    pub(crate) only: Box<[I]>,
    /// What it is not to be given, because it would be mistaken for something else. Says nothing of records and claims.
    pub(crate) avoid: Box<[I]>,
}

/// How a party fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'a, K, I> {
    /// It holds these.
    Granted(&'a [I]),
    /// `item` of its record overlaps `theirs` of an older party's.
    Lost { item: I, theirs: I, to: &'a K },
    /// The space has nothing for it, or not all that it lacks.
    Waiting,
}

#[derive(Debug)]
pub(crate) struct Arbiter<K, S: Space> {
    space: S,
    entries: BTreeMap<S::Item, Entry<K>>,
    seats: BTreeMap<K, Seat<S::Item>>,
    waiting: BTreeSet<Rank<K>>,
    staged: BTreeMap<K, Option<Bid<S::Item>>>,
}

/// Wishes come last; then age decides, then the name.
type Rank<K> = (bool, Timestamp, K);

#[derive(Debug)]
struct Entry<K> {
    /// Whose records name it, oldest first.
    recorded: Vec<Rank<K>>,
    holder: Option<K>,
}

#[derive(Debug)]
struct Seat<I> {
    created: Timestamp,
    is_wish: bool,
    wants_more: bool,
    record: Box<[I]>,
    only: Box<[I]>,
    avoid: Box<[I]>,
    held: Vec<I>,
}

/// What one [`Arbiter::settle`] has to keep in mind.
struct Round<K, I> {
    changed: BTreeSet<K>,
    /// Parties whose records have to be judged again.
    contested: BTreeSet<K>,
    claims: BTreeMap<Rank<K>, Box<[I]>>,
    freed: bool,
}

impl<I> Seat<I> {
    fn rank<K: Clone>(&self, party: &K) -> Rank<K> {
        (self.is_wish, self.created, party.clone())
    }

    /// Whether it may have to wait for something.
    fn asks(&self) -> bool {
        self.record.is_empty() || self.wants_more
    }
}

impl<K: Clone + Ord + Debug, S: Space> Arbiter<K, S> {
    pub(crate) fn new(space: S) -> Self {
        Self {
            space,
            entries: BTreeMap::new(),
            seats: BTreeMap::new(),
            waiting: BTreeSet::new(),
            staged: BTreeMap::new(),
        }
    }

    pub(crate) fn space(&self) -> &S {
        &self.space
    }

    /// What a party holds, as of the last [`Self::settle`].
    pub(crate) fn held(&self, party: &K) -> &[S::Item] {
        self.seats.get(party).map_or(&[], |seat| &seat.held)
    }

    /// All parties and what they hold.
    pub(crate) fn holdings(&self) -> impl Iterator<Item = (&K, &[S::Item])> {
        self.seats.iter().map(|(party, seat)| (party, &*seat.held))
    }

    /// Who holds an item.
    pub(crate) fn holder(&self, item: S::Item) -> Option<&K> {
        self.entries.get(&item)?.holder.as_ref()
    }

    /// How a party fares, if there is such a party.
    pub(crate) fn outcome(&self, party: &K) -> Option<Outcome<'_, K, S::Item>> {
        let seat = self.seats.get(party)?;
        if !seat.asks() && !seat.held.is_empty() {
            // Whoever has a rival holds nothing of its record, and who wants no more than that does not wait.
            return Some(Outcome::Granted(&seat.held));
        }
        if let Some((item, theirs, to)) = self.rival(party, seat) {
            return Some(Outcome::Lost { item, theirs, to });
        }
        let waits = self.waiting.contains(&seat.rank(party));
        Some(if waits {
            Outcome::Waiting
        } else {
            Outcome::Granted(&seat.held)
        })
    }

    /// Notes a party's new bid, or that it is gone; takes effect with [`Self::settle`].
    pub(crate) fn stage(&mut self, party: K, bid: Option<Bid<S::Item>>) {
        let same = match (&bid, self.seats.get(&party)) {
            (None, None) => true,
            (Some(bid), Some(seat)) => {
                bid.created == seat.created
                    && bid.record == seat.record
                    && (bid.is_wish, bid.wants_more) == (seat.is_wish, seat.wants_more)
                    && bid.avoid == seat.avoid
                    && bid.only == seat.only
                    && (!seat.asks() || *bid.claim == *seat.held)
            }
            _ => false,
        };
        if same {
            self.staged.remove(&party);
        } else {
            self.staged.insert(party, bid);
        }
    }

    /// Settles what is staged and returns the parties that may fare differently now.
    pub(crate) fn settle(&mut self) -> BTreeSet<K> {
        self.settle_avoiding(|_| Vec::new())
    }

    /// The same, with what each party is to avoid at the moment beside what its bid says.
    pub(crate) fn settle_avoiding(&mut self, avoid: impl Fn(&K) -> Vec<S::Item>) -> BTreeSet<K> {
        let staged = std::mem::take(&mut self.staged);
        let mut round = Round {
            changed: BTreeSet::new(),
            contested: BTreeSet::new(),
            claims: BTreeMap::new(),
            freed: false,
        };
        for party in staged.keys() {
            self.withdraw(party, &mut round);
        }
        for (party, bid) in staged {
            if let Some(bid) = bid {
                self.enter(&party, bid, &mut round);
            }
            round.changed.insert(party);
        }
        self.judge_records(&mut round);
        self.honour_claims(&mut round);
        self.serve_waiting(&mut round, avoid);
        round.changed
    }

    fn withdraw(&mut self, party: &K, round: &mut Round<K, S::Item>) {
        self.release(party, round);
        let Some(seat) = self.seats.remove(party) else { return };
        let rank = seat.rank(party);
        self.waiting.remove(&rank);
        for &item in &seat.record {
            for other in item.overlapping(&self.entries) {
                round
                    .contested
                    .extend(self.entries[&other].recorded.iter().map(|(.., party)| party.clone()));
            }
            let entry = self.entries.get_mut(&item).expect("a recorded item has an entry");
            entry.recorded.retain(|other| *other != rank);
            self.drop_if_idle(item, round);
        }
    }

    fn enter(&mut self, party: &K, bid: Bid<S::Item>, round: &mut Round<K, S::Item>) {
        let Bid {
            created,
            record,
            is_wish,
            wants_more,
            claim,
            only,
            avoid,
        } = bid;
        let seat = Seat {
            created,
            is_wish,
            wants_more,
            record,
            only,
            avoid,
            held: Vec::new(),
        };
        let rank = seat.rank(party);
        for &item in &seat.record {
            let recorded = &mut self.entry(item).recorded;
            if let Err(at) = recorded.binary_search(&rank) {
                recorded.insert(at, rank.clone());
            }
            for other in item.overlapping(&self.entries) {
                round
                    .contested
                    .extend(self.entries[&other].recorded.iter().map(|(.., party)| party.clone()));
            }
        }
        if seat.asks() {
            round.claims.insert(rank, claim);
        }
        self.seats.insert(party.clone(), seat);
    }

    fn judge_records(&mut self, round: &mut Round<K, S::Item>) {
        let contested = std::mem::take(&mut round.contested);
        // A party that left may have been contested by another that left.
        let seated = contested.into_iter().filter(|party| self.seats.contains_key(party));
        let (lost, won): (Vec<K>, Vec<K>) = seated.partition(|party| self.rival(party, &self.seats[party]).is_some());
        for party in &lost {
            self.release(party, round);
            // Whoever has not what it comes with is given nothing beside it.
            let rank = self.seats[party].rank(party);
            self.waiting.remove(&rank);
            round.claims.remove(&rank);
        }
        for party in &won {
            let seat = &self.seats[party];
            if seat.wants_more {
                round.claims.entry(seat.rank(party)).or_default();
            }
            if seat.held.is_empty() {
                let record = seat.record.clone();
                for &item in &record {
                    self.evict_from(item, round);
                    self.hold(party, item);
                }
            }
        }
        round.changed.extend(lost);
        round.changed.extend(won);
    }

    /// Whoever holds a part of `item` without having it on record has to look for something else.
    fn evict_from(&mut self, item: S::Item, round: &mut Round<K, S::Item>) {
        for other in item.overlapping(&self.entries) {
            let Some(holder) = self.entries.get(&other).and_then(|entry| entry.holder.clone()) else {
                continue;
            };
            let seat = &self.seats[&holder];
            debug_assert!(
                !seat.record.contains(&other),
                "two overlapping records cannot both win: {holder:?}"
            );
            let rank = seat.rank(&holder);
            self.release_beside_record(&holder, round);
            self.waiting.remove(&rank);
            round.claims.entry(rank).or_default();
        }
    }

    fn honour_claims(&mut self, round: &mut Round<K, S::Item>) {
        for (rank, claim) in std::mem::take(&mut round.claims) {
            let (.., party) = &rank;
            for &item in &claim {
                let free = |other: &S::Item| self.entries[other].holder.is_none();
                if self.space.admits(&self.seats[party].held, item) && item.overlapping(&self.entries).iter().all(free)
                {
                    self.hold(party, item);
                }
            }
            round.claims.insert(rank, Box::default());
        }
    }

    fn serve_waiting(&mut self, round: &mut Round<K, S::Item>, avoid: impl Fn(&K) -> Vec<S::Item>) {
        let newcomers: Vec<Rank<K>> = std::mem::take(&mut round.claims).into_keys().collect();
        self.waiting.extend(newcomers.iter().cloned());
        // Without anything freed, whoever waited before waits on.
        let candidates = if round.freed {
            self.waiting.iter().cloned().collect()
        } else {
            newcomers
        };
        for rank in candidates {
            let (.., party) = &rank;
            let seat = &self.seats[party];
            let mut avoid = avoid(party);
            avoid.extend_from_slice(&seat.avoid);
            let mut held = seat.held.clone();
            for &item in seat.only.iter().filter(|item| !seat.held.contains(item)) {
                if self.space.admits(&held, item) && item.overlapping(&self.entries).is_empty() {
                    held.push(item);
                }
            }
            if !seat.only.iter().all(|item| held.contains(item)) {
                continue;
            }
            if let Some(items) = self.space.complete(&self.entries, &held, &avoid) {
                for item in held.split_off(seat.held.len()).into_iter().chain(items) {
                    self.hold(party, item);
                }
                self.waiting.remove(&rank);
                round.changed.insert(rank.2);
            }
        }
        // Whose it is that they wait for may be another by now.
        if !round.changed.is_empty() {
            let waiting = self.waiting.iter().map(|(.., party)| party);
            let particular = waiting.filter(|party| !self.seats[*party].only.is_empty());
            round.changed.extend(particular.cloned());
        }
    }

    /// The oldest party whose record overlaps that of `party` and that is older.
    fn rival<'a>(&'a self, party: &K, seat: &Seat<S::Item>) -> Option<(S::Item, S::Item, &'a K)> {
        seat.record.iter().find_map(|&item| {
            let known = item.overlapping(&self.entries).into_iter();
            let (oldest, theirs) = known
                .filter_map(|theirs| Some((self.entries[&theirs].recorded.first()?, theirs)))
                .min()?;
            let (is_wish, created, rival) = oldest;
            ((*is_wish, *created, rival) < (seat.is_wish, seat.created, party)).then_some((item, theirs, rival))
        })
    }

    fn hold(&mut self, party: &K, item: S::Item) {
        let entry = self.entry(item);
        debug_assert!(entry.holder.is_none(), "{item:?} is held already");
        entry.holder = Some(party.clone());
        self.seats
            .get_mut(party)
            .expect("only seated parties hold")
            .held
            .push(item);
    }

    fn release(&mut self, party: &K, round: &mut Round<K, S::Item>) {
        let Some(seat) = self.seats.get_mut(party) else { return };
        for item in std::mem::take(&mut seat.held) {
            self.entries.get_mut(&item).expect("a held item has an entry").holder = None;
            self.drop_if_idle(item, round);
            round.changed.insert(party.clone());
        }
    }

    fn release_beside_record(&mut self, party: &K, round: &mut Round<K, S::Item>) {
        let Some(seat) = self.seats.get_mut(party) else { return };
        let record = &seat.record;
        let given: Vec<S::Item> = seat.held.extract_if(.., |item| !record.contains(item)).collect();
        for item in given {
            self.entries.get_mut(&item).expect("a held item has an entry").holder = None;
            self.drop_if_idle(item, round);
            round.changed.insert(party.clone());
        }
    }

    fn entry(&mut self, item: S::Item) -> &mut Entry<K> {
        self.entries.entry(item).or_insert_with(|| {
            self.space.take(item);
            Entry {
                recorded: Vec::new(),
                holder: None,
            }
        })
    }

    fn drop_if_idle(&mut self, item: S::Item, round: &mut Round<K, S::Item>) {
        let entry = &self.entries[&item];
        if entry.holder.is_none() && entry.recorded.is_empty() {
            self.entries.remove(&item);
            self.space.give_back(item);
            round.freed = true;
        }
    }
}

#[cfg(test)]
mod tests;
