//! The rules of the arbiter, over numbers.

use super::*;

impl Item for u8 {
    fn overlapping<V>(self, known: &BTreeMap<Self, V>) -> Vec<Self> {
        known.contains_key(&self).then_some(self).into_iter().collect()
    }
}

/// The numbers below one; everybody who asks wants a single number.
struct Numbers(u8);

impl Space for Numbers {
    type Item = u8;

    fn admits(&self, held: &[u8], item: u8) -> bool {
        held.is_empty() && item < self.0
    }

    fn take(&mut self, _: u8) {}

    fn give_back(&mut self, _: u8) {}

    fn complete<V>(&mut self, in_use: &BTreeMap<u8, V>, held: &[u8], avoid: &[u8]) -> Option<Vec<u8>> {
        if !held.is_empty() {
            return Some(Vec::new());
        }
        (0..self.0)
            .find(|number| !in_use.contains_key(number) && !avoid.contains(number))
            .map(|number| vec![number])
    }
}

type Numbering = Arbiter<&'static str, Numbers>;

#[allow(clippy::unnecessary_wraps)] // stands beside `None`, for a party that leaves
fn bid(created: i64, record: &[u8], claim: &[u8]) -> Option<Bid<u8>> {
    Some(Bid {
        created: Timestamp(created),
        record: record.into(),
        is_wish: false,
        wants_more: false,
        claim: claim.into(),
        only: Box::default(),
        avoid: Box::default(),
    })
}

fn wanting(created: i64, claim: &[u8], only: &[u8]) -> Option<Bid<u8>> {
    let bid = bid(created, &[], claim)?;
    Some(Bid {
        only: only.into(),
        ..bid
    })
}

/// Whoever wishes for these, and for one more.
fn wish(created: i64, record: &[u8], claim: &[u8]) -> Option<Bid<u8>> {
    Some(Bid {
        is_wish: true,
        wants_more: true,
        ..bid(created, record, claim)?
    })
}

/// The numbers below one; everybody who asks wants two.
struct Pairs(u8);

impl Space for Pairs {
    type Item = u8;

    fn admits(&self, held: &[u8], item: u8) -> bool {
        held.len() < 2 && item < self.0
    }

    fn take(&mut self, _: u8) {}

    fn give_back(&mut self, _: u8) {}

    fn complete<V>(&mut self, in_use: &BTreeMap<u8, V>, held: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        let free = (0..self.0).filter(|number| !in_use.contains_key(number));
        let given: Vec<u8> = free.take(2 - held.len()).collect();
        (given.len() + held.len() == 2).then_some(given)
    }
}

#[test]
fn what_is_so_goes_before_what_is_only_wished_for_however_old() {
    let mut arbiter = arbiter(&[("old", wish(1, &[0], &[]))]);
    assert_eq!(arbiter.held(&"old"), [0]);
    settle(&mut arbiter, &[("young", bid(2, &[0], &[]))]);
    assert_eq!(arbiter.held(&"young"), [0]);
    assert!(matches!(
        arbiter.outcome(&"old"),
        Some(Outcome::Lost {
            item: 0,
            to: &"young",
            ..
        })
    ));
    settle(&mut arbiter, &[("young", wish(2, &[0], &[]))]);
    assert_eq!(arbiter.held(&"old"), [0], "of two wishes the older counts");
}

#[test]
fn who_wants_more_than_its_record_is_given_that_or_waits_with_its_record() {
    let mut arbiter = Arbiter::new(Pairs(4));
    for (party, bid) in [("a", wish(1, &[3], &[])), ("b", wish(2, &[2], &[1]))] {
        arbiter.stage(party, bid);
    }
    arbiter.settle();
    assert_eq!((arbiter.held(&"a"), arbiter.held(&"b")), (&[3, 0][..], &[2, 1][..]));
    // What was only given goes to whom it is recorded for, and the record stays.
    arbiter.stage("c", bid(3, &[0], &[]));
    arbiter.settle();
    assert_eq!((arbiter.held(&"a"), arbiter.held(&"c")), (&[3][..], &[0][..]));
    assert_eq!(arbiter.outcome(&"a"), Some(Outcome::Waiting));
    arbiter.stage("b", None);
    arbiter.settle();
    assert_eq!(arbiter.outcome(&"a"), Some(Outcome::Granted(&[3, 1])));
}

#[test]
fn who_loses_its_record_is_given_nothing_beside_it() {
    let mut arbiter = Arbiter::new(Pairs(4));
    arbiter.stage("a", wish(2, &[0], &[]));
    arbiter.settle();
    arbiter.stage("b", wish(1, &[0], &[]));
    arbiter.settle();
    assert!(arbiter.held(&"a").is_empty());
    arbiter.stage("c", bid(3, &[1, 2], &[]));
    arbiter.stage("c", None);
    arbiter.settle();
    assert!(matches!(arbiter.outcome(&"a"), Some(Outcome::Lost { .. })));
}

fn avoiding(claim: &[u8], avoid: &[u8]) -> Option<Bid<u8>> {
    let bid = bid(0, &[], claim)?;
    Some(Bid {
        avoid: avoid.into(),
        ..bid
    })
}

#[test]
fn who_wants_something_particular_gets_that_or_waits_for_it() {
    let mut arbiter = Numbering::new(Numbers(4));
    arbiter.stage("older", wanting(0, &[], &[]));
    arbiter.settle();
    assert_eq!(arbiter.held(&"older"), [0]);
    arbiter.stage("particular", wanting(1, &[], &[0]));
    arbiter.stage("second", wanting(1, &[], &[3]));
    arbiter.settle();
    assert_eq!(arbiter.outcome(&"particular"), Some(Outcome::Waiting));
    assert_eq!(arbiter.holder(0), Some(&"older"));
    assert_eq!(arbiter.held(&"second"), [3]);
    arbiter.stage("older", None);
    arbiter.settle();
    assert_eq!(arbiter.held(&"particular"), [0]);
    arbiter.stage("particular", wanting(1, &[], &[2]));
    arbiter.settle();
    assert_eq!(arbiter.held(&"particular"), [2], "it wants another by now");
}

#[test]
fn what_a_party_avoids_it_is_not_given_and_may_have_held_before() {
    let mut arbiter = Numbering::new(Numbers(2));
    arbiter.stage("a", avoiding(&[], &[0]));
    arbiter.stage("b", avoiding(&[0], &[0]));
    arbiter.settle();
    assert_eq!((arbiter.held(&"a"), arbiter.held(&"b")), (&[1][..], &[0][..]));
    arbiter.stage("b", None);
    arbiter.stage("c", avoiding(&[], &[0]));
    arbiter.settle();
    assert_eq!(arbiter.outcome(&"c"), Some(Outcome::Waiting));
    arbiter.stage("c", avoiding(&[], &[]));
    arbiter.settle();
    assert_eq!(arbiter.held(&"c"), [0]);
}

fn settle(arbiter: &mut Numbering, bids: &[(&'static str, Option<Bid<u8>>)]) -> Vec<&'static str> {
    for (party, bid) in bids {
        arbiter.stage(party, bid.clone());
    }
    arbiter.settle().into_iter().collect()
}

fn arbiter(bids: &[(&'static str, Option<Bid<u8>>)]) -> Numbering {
    let mut arbiter = Arbiter::new(Numbers(4));
    settle(&mut arbiter, bids);
    arbiter
}

#[test]
fn a_loss_is_a_matter_of_two_records_alone() {
    let mut arbiter = arbiter(&[
        ("first", bid(1, &[0], &[])),
        ("second", bid(2, &[0, 1], &[])),
        ("third", bid(3, &[1, 2], &[])),
    ]);
    assert_eq!(
        arbiter.outcome(&"second"),
        Some(Outcome::Lost {
            item: 0,
            theirs: 0,
            to: &"first"
        })
    );
    assert_eq!(
        arbiter.outcome(&"third"),
        Some(Outcome::Lost {
            item: 1,
            theirs: 1,
            to: &"second"
        })
    );
    settle(&mut arbiter, &[("first", None)]);
    assert_eq!(arbiter.outcome(&"second"), Some(Outcome::Granted(&[0, 1])));
    assert_eq!(
        arbiter.outcome(&"third"),
        Some(Outcome::Lost {
            item: 1,
            theirs: 1,
            to: &"second"
        })
    );
}

#[test]
fn a_record_evicts_whoever_only_claims() {
    let mut arbiter = arbiter(&[("claimant", bid(1, &[], &[2]))]);
    assert_eq!(arbiter.held(&"claimant"), [2]);
    let changed = settle(&mut arbiter, &[("recorded", bid(2, &[2], &[]))]);
    assert_eq!(changed, ["claimant", "recorded"]);
    assert_eq!(
        (arbiter.held(&"recorded"), arbiter.held(&"claimant")),
        (&[2][..], &[0][..])
    );
}

#[test]
fn a_record_that_loses_evicts_nobody() {
    let mut arbiter = arbiter(&[("old", bid(1, &[0], &[])), ("claimant", bid(1, &[], &[2]))]);
    let changed = settle(&mut arbiter, &[("loser", bid(2, &[0, 2], &[]))]);
    assert!(!changed.contains(&"claimant"));
    assert_eq!(arbiter.held(&"claimant"), [2]);
    settle(&mut arbiter, &[("old", None)]);
    assert_eq!(
        (arbiter.held(&"loser"), arbiter.held(&"claimant")),
        (&[0, 2][..], &[1][..])
    );
}

#[test]
fn of_two_claims_the_older_partys_counts() {
    let arbiter = arbiter(&[("a", bid(2, &[], &[3])), ("b", bid(1, &[], &[3]))]);
    assert_eq!((arbiter.held(&"b"), arbiter.held(&"a")), (&[3][..], &[0][..]));
}

#[test]
fn what_the_space_does_not_admit_cannot_be_claimed() {
    assert_eq!(arbiter(&[("a", bid(1, &[], &[9, 2, 3]))]).held(&"a"), [2]);
}

#[test]
fn a_bid_that_says_nothing_new_changes_nothing() {
    let mut arbiter = arbiter(&[("a", bid(1, &[2], &[])), ("b", bid(1, &[], &[]))]);
    assert_eq!(
        settle(&mut arbiter, &[("a", bid(1, &[2], &[])), ("b", bid(1, &[], &[0]))]),
        [""; 0]
    );
}

#[test]
fn the_last_bid_staged_counts() {
    let mut arbiter = arbiter(&[("a", bid(1, &[2], &[]))]);
    arbiter.stage("a", None);
    assert_eq!(settle(&mut arbiter, &[("a", bid(1, &[2], &[]))]), [""; 0]);
    assert_eq!(arbiter.held(&"a"), [2]);
}

#[test]
fn whoever_waits_is_served_by_age_when_something_is_free() {
    let mut arbiter = arbiter(&[
        ("all", bid(1, &[0, 1, 2, 3], &[])),
        ("b", bid(3, &[], &[])),
        ("c", bid(2, &[], &[])),
    ]);
    assert_eq!(arbiter.outcome(&"b"), Some(Outcome::Waiting));
    settle(&mut arbiter, &[("all", bid(1, &[0, 1, 2], &[]))]);
    assert_eq!(
        (arbiter.held(&"c"), arbiter.outcome(&"b")),
        (&[3][..], Some(Outcome::Waiting))
    );
}
