//! Which chassis go, and when: decided without looking at any clock or database.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use meridian_northbound::DeletionBudget;
use tokio::time::Instant;

/// For how long a node must be gone. A node that is made anew, be it by its kubelet after somebody deleted it or from a
/// backup, keeps its chassis: to remove it would cut its pods off until ovn-controller has made it again. A tunnel more
/// for half a minute costs nothing.
pub const GRACE: Duration = Duration::from_secs(30);

/// A chassis that comes back whenever it is removed is removed ever more seldom, but not more seldom than this.
const LONGEST_GRACE: Duration = Duration::from_hours(1);

/// How many chassis may go at once in a small cluster: what fails together, not the cluster.
const FLOOR: usize = 3;

/// The budget for chassis where the one for rows is this.
pub(super) fn budget(rows: DeletionBudget) -> DeletionBudget {
    match rows {
        DeletionBudget::Share { percent, .. } => DeletionBudget::Share { percent, floor: FLOOR },
        DeletionBudget::Rows(_) | DeletionBudget::Unlimited => rows,
    }
}

/// Too many chassis without a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{missing} of {owned} chassis have no node, and the deletion budget allows {allowed} at once; none is removed as \
     long as any of them is left. If that is meant, start with a larger --deletion-budget"
)]
pub(super) struct OverBudget {
    missing: usize,
    owned: usize,
    allowed: usize,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// These go now.
    pub(super) remove: Vec<String>,
    /// These have no node, and came back after they were removed.
    pub(super) returned: Vec<String>,
    /// Why nothing goes.
    pub(super) held: Option<OverBudget>,
    /// When to ask again.
    pub(super) next: Option<Instant>,
}

/// A chassis that was removed.
#[derive(Clone, Copy, Debug)]
struct Removal {
    times: u32,
    last: Instant,
}

/// Remembers since when chassis have no node.
#[derive(Debug)]
pub(super) struct Judge {
    budget: DeletionBudget,
    grace: Duration,
    missing: BTreeMap<String, Instant>,
    removals: HashMap<String, Removal>,
    /// As with rows, what exceeded the budget does not trickle through it.
    held: bool,
}

impl Judge {
    pub(super) fn new(budget: DeletionBudget, grace: Duration) -> Self {
        Self {
            budget,
            grace,
            missing: BTreeMap::new(),
            removals: HashMap::new(),
            held: false,
        }
    }

    /// Nodes may have come and gone unseen: every grace begins anew.
    pub(super) fn interrupted(&mut self) {
        self.missing.clear();
    }

    /// A chassis was removed.
    pub(super) fn removed(&mut self, name: &str, now: Instant) {
        self.missing.remove(name);
        let times = self.removals.get(name).map_or(0, |removal| removal.times) + 1;
        self.removals.insert(name.to_owned(), Removal { times, last: now });
    }

    /// What to do with our chassis, given which of them have a node.
    pub(super) fn judge<'a>(
        &mut self,
        ours: impl IntoIterator<Item = &'a str>,
        has_node: impl Fn(&str) -> bool,
        now: Instant,
    ) -> Verdict {
        let mut owned = 0;
        let mut missing = BTreeMap::new();
        for name in ours {
            owned += 1;
            if !has_node(name) {
                let since = self.missing.get(name).copied().unwrap_or(now);
                missing.insert(name.to_owned(), since);
            }
        }
        self.missing = missing;
        self.removals.retain(|name, removal| {
            let expired = !self.missing.contains_key(name) && now >= removal.last + LONGEST_GRACE;
            !expired && !has_node(name)
        });
        let (mut remove, mut next) = (Vec::new(), None::<Instant>);
        for (name, since) in &self.missing {
            let due = *since + self.grace_of(name);
            if due <= now {
                remove.push(name.clone());
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        let returned = |name: &&String| self.removals.contains_key(*name);
        let fresh = self.missing.keys().filter(|name| !returned(name)).count();
        let allowed = self.budget.allows(owned);
        // What has just begun to miss its node counts as soon as anything is to go: what is lost as one may be told bit
        // by bit. What comes back whenever it goes does not count, or a few such hosts would stop everything.
        self.held = fresh > 0 && (self.held || (!remove.is_empty() && fresh > allowed));
        let held = self.held.then_some(OverBudget {
            missing: fresh,
            owned,
            allowed,
        });
        if held.is_some() {
            remove.clear();
        }
        Verdict {
            remove,
            returned: self.missing.keys().filter(returned).cloned().collect(),
            held,
            next,
        }
    }

    fn grace_of(&self, name: &str) -> Duration {
        let times = self.removals.get(name).map_or(0, |removal| removal.times);
        let factor = 2_u32.saturating_pow(times);
        self.grace.saturating_mul(factor).min(LONGEST_GRACE.max(self.grace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [&str; 10] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"];

    struct Case {
        judge: Judge,
        now: Instant,
    }

    impl Case {
        fn new(budget: DeletionBudget) -> Self {
            Self {
                judge: Judge::new(super::budget(budget), GRACE),
                now: Instant::now(),
            }
        }

        /// All chassis are there, and nodes but for some, this many seconds later.
        fn after(&mut self, seconds: u64, gone: &[&str]) -> Verdict {
            self.now += Duration::from_secs(seconds);
            let has_node = |name: &str| NODES.contains(&name) && !gone.contains(&name);
            self.judge.judge(NODES, has_node, self.now)
        }

        fn removes(&mut self, seconds: u64, gone: &[&str]) -> Vec<String> {
            self.after(seconds, gone).remove
        }
    }

    #[test]
    fn a_chassis_goes_when_its_node_has_been_gone_for_the_grace() {
        let mut case = Case::new(DeletionBudget::default());
        let verdict = case.after(0, &["n3"]);
        assert_eq!((verdict.remove.len(), verdict.next), (0, Some(case.now + GRACE)));
        assert!(case.removes(29, &["n3"]).is_empty());
        assert_eq!(case.removes(1, &["n3"]), ["n3"]);
    }

    #[test]
    fn a_node_that_is_made_anew_keeps_its_chassis() {
        let mut case = Case::new(DeletionBudget::default());
        case.after(0, &["n3"]);
        case.after(29, &[]);
        assert!(case.removes(29, &["n3"]).is_empty(), "the grace begins anew");
        assert!(case.removes(29, &["n3"]).is_empty());
        assert_eq!(case.removes(1, &["n3"]), ["n3"]);
    }

    #[test]
    fn what_nobody_watched_does_not_count_as_grace() {
        let mut case = Case::new(DeletionBudget::default());
        case.after(0, &["n3"]);
        case.judge.interrupted();
        assert!(case.removes(600, &["n3"]).is_empty());
        assert_eq!(case.removes(30, &["n3"]), ["n3"]);
    }

    #[test]
    fn more_than_the_budget_at_once_stay_until_none_of_them_is_left() {
        let mut case = Case::new(DeletionBudget::default());
        let gone = ["n0", "n1", "n2", "n3"];
        assert_eq!(case.after(0, &gone).held, None, "they may come back within the grace");
        let verdict = case.after(30, &gone);
        assert!(verdict.remove.is_empty());
        let text = verdict.held.unwrap().to_string();
        assert!(
            text.starts_with("4 of 10 chassis have no node, and the deletion budget allows 3 at once"),
            "{text}"
        );
        assert!(case.after(60, &gone[..1]).held.is_some());
        assert_eq!(case.after(1, &[]).held, None);
        case.after(0, &gone[..1]);
        assert_eq!(case.removes(30, &gone[..1]), ["n0"]);
    }

    #[test]
    fn what_goes_bit_by_bit_within_the_grace_counts_together() {
        let mut case = Case::new(DeletionBudget::default());
        for count in 1..=4 {
            assert_eq!(case.after(5, &NODES[..count]).held, None);
        }
        let verdict = case.after(25, &NODES[..4]);
        assert!(verdict.remove.is_empty() && verdict.held.is_some());
    }

    #[test]
    fn the_budget_is_that_of_the_rows_with_a_floor_for_chassis() {
        assert_eq!(budget(DeletionBudget::default()).allows(5), 3);
        assert_eq!(budget(DeletionBudget::default()).allows(100), 20);
        assert_eq!(budget(DeletionBudget::Rows(1)).allows(100), 1);
        let mut case = Case::new(DeletionBudget::Unlimited);
        case.after(0, &NODES);
        assert_eq!(case.removes(30, &NODES).len(), 10);
    }

    #[test]
    fn one_that_comes_back_is_removed_ever_more_seldom_and_does_not_count() {
        let mut case = Case::new(DeletionBudget::Rows(1));
        case.after(0, &["n3"]);
        for wait in [30, 60, 120] {
            assert!(case.removes(wait - 1, &["n3"]).is_empty(), "{wait}");
            assert_eq!(case.removes(1, &["n3"]), ["n3"], "{wait}");
            case.judge.removed("n3", case.now);
            assert_eq!(case.after(0, &["n3"]).returned, ["n3"]);
        }
        case.after(0, &["n3", "n4"]);
        let verdict = case.after(30, &["n3", "n4"]);
        assert_eq!((verdict.remove, verdict.held), (vec!["n4".to_owned()], None));
        assert!(case.after(0, &[]).returned.is_empty());
        case.after(0, &["n3"]);
        assert_eq!(
            case.removes(30, &["n3"]),
            ["n3"],
            "its node was there again: nothing is held against it"
        );
    }

    #[test]
    fn what_was_removed_and_stays_away_is_forgotten() {
        let mut case = Case::new(DeletionBudget::default());
        case.judge.removed("old", case.now);
        case.after(3599, &[]);
        assert_eq!(case.judge.removals.len(), 1);
        case.after(1, &[]);
        assert_eq!(case.judge.removals.len(), 0);
    }
}
