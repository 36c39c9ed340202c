//! [`Ladder`]: in which order the rules of tiers are asked, as priorities of ACLs.
//!
//! ```text
//! 32,000  Admin      a rule each, in order: Accept, Deny
//!    …               Pass: what the tiers below say, once more, for what it is about alone
//! 10,002  NetworkPolicy
//!  9,999  Baseline   a rule each, in order
//! ```
//!
//! An ACL decides for good, and to leave a decision to the next tier takes ACL tiers, which OVN has since 23.06. Without them,
//! what is passed on must not meet the Admin rules below: so above these stands what the tiers below say, with what is passed on as
//! one more condition, and in the end that it goes through. A Pass that no rule of its tier comes after needs nothing.
//!
//! Priorities are handed out anew when such policies come and go, without gaps, because there are fewer than 1,001 priorities of 25
//! rules could take.

use std::collections::{BTreeMap, BTreeSet};

use meridian_model::{Action, ClusterPolicy, ClusterPolicyKey, Tier, TierRule};

use super::{Direction, priority};

/// Names a rule: the policy, the direction, and which of its rules there.
pub(crate) type RuleKey = (ClusterPolicyKey, Direction, usize);

/// The order of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ladder {
    /// The priorities of rules. Those of Pass are the first of what stands for it.
    priorities: BTreeMap<RuleKey, i64>,
    /// What is left to the next tier, and has rules of its own tier after it.
    passes: Vec<RuleKey>,
    /// How many priorities a Pass takes.
    heights: BTreeMap<Direction, i64>,
    /// All policies, in order.
    order: Vec<ClusterPolicyKey>,
    /// Those that there is no room for.
    crowded: BTreeSet<ClusterPolicyKey>,
}

impl Ladder {
    /// Of all policies there are.
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a ClusterPolicy>) -> Self {
        let mut policies: Vec<&ClusterPolicy> = policies.collect();
        policies.sort_by_key(|policy| (policy.tier, policy.priority, &policy.key));
        let mut ladder = Self {
            order: policies.iter().map(|policy| policy.key.clone()).collect(),
            ..Self::default()
        };
        for direction in Direction::BOTH {
            ladder.climb(&policies, direction);
        }
        ladder
    }

    fn climb(&mut self, policies: &[&ClusterPolicy], direction: Direction) {
        let of_tier = |tier| {
            let of_tier = policies.iter().filter(move |policy| policy.tier == tier);
            of_tier.flat_map(move |policy| {
                let rules = rules(policy, direction).iter().enumerate();
                rules.map(move |(at, rule)| ((policy.key.clone(), direction, at), rule))
            })
        };
        let mut next = priority::BASELINE;
        for (key, _) in of_tier(Tier::Baseline) {
            if next < priority::LAST {
                self.crowded.insert(key.0);
                continue;
            }
            self.priorities.insert(key, next);
            next -= 1;
        }
        // What policies of namespaces allow, that they isolate, the tier Baseline, and the end. What they always allow is about hosts, which
        // no rule is that passes on.
        let height = priority::BASELINE - next + 3;
        self.heights.insert(direction, height);
        let admin: Vec<(RuleKey, &TierRule)> = of_tier(Tier::Admin).collect();
        let decides = |(_, rule): &(RuleKey, &TierRule)| rule.action != Action::Pass;
        let last = admin.iter().rposition(decides);
        let mut next = priority::ADMIN;
        for (at, (key, rule)) in admin.into_iter().enumerate() {
            let is_pass = rule.action == Action::Pass;
            if is_pass && last.is_none_or(|last| last < at) {
                continue;
            }
            let after = next - if is_pass { height } else { 1 };
            if after < priority::ALWAYS {
                self.crowded.insert(key.0);
                continue;
            }
            if is_pass {
                self.passes.push(key.clone());
            }
            self.priorities.insert(key, next);
            next = after;
        }
    }

    /// The priority of a rule, or the first of what stands for it; none if nothing does.
    pub(crate) fn priority(&self, rule: &RuleKey) -> Option<i64> {
        self.priorities.get(rule).copied()
    }

    /// What is left to the next tier in a direction, with the first priority of what stands for it.
    pub(crate) fn passes(&self, direction: Direction) -> impl Iterator<Item = (&RuleKey, i64)> {
        let of_direction = self.passes.iter().filter(move |(_, of, _)| *of == direction);
        of_direction.map(|rule| (rule, self.priorities[rule]))
    }

    /// The priority of what goes through because nothing stops what was passed on.
    pub(crate) fn end_of_pass(&self, direction: Direction, first: i64) -> i64 {
        first - self.heights.get(&direction).copied().unwrap_or_default() + 1
    }

    /// All policies, in the order they are asked.
    pub(crate) fn order(&self) -> &[ClusterPolicyKey] {
        &self.order
    }

    /// Whether there is no room for some of a policy's rules.
    pub(crate) fn is_crowded(&self, policy: &ClusterPolicyKey) -> bool {
        self.crowded.contains(policy)
    }

    /// Whether anything is left to the next tier by a policy, so that what that is about counts elsewhere.
    pub(crate) fn passes_by(&self, policy: &ClusterPolicyKey) -> bool {
        self.passes.iter().any(|(of, ..)| of == policy)
    }
}

/// The rules of a policy in a direction.
pub(crate) fn rules(policy: &ClusterPolicy, direction: Direction) -> &[TierRule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::{ClusterPolicyKind, PodsOf, Selector, TierPeers, Timestamp};

    use super::*;

    fn policy(name: &str, tier: Tier, priority: u16, actions: &[Action]) -> ClusterPolicy {
        let rule = |action: &Action| TierRule {
            name: None,
            action: *action,
            peers: TierPeers::Everybody,
            ports: Box::default(),
            fault: None,
        };
        ClusterPolicy {
            key: key(name),
            created: Timestamp(0),
            tier,
            priority,
            subject: PodsOf {
                namespaces: Selector::default(),
                pods: Selector::default(),
            },
            ingress: actions.iter().map(rule).collect(),
            egress: Box::default(),
            log: None,
        }
    }

    fn key(name: &str) -> ClusterPolicyKey {
        ClusterPolicyKey {
            kind: ClusterPolicyKind::ClusterNetworkPolicy,
            name: name.into(),
        }
    }

    fn at(ladder: &Ladder, name: &str, rule: usize) -> Option<i64> {
        ladder.priority(&(key(name), Direction::Ingress, rule))
    }

    #[test]
    fn rules_are_asked_by_tier_then_priority_then_order() {
        use Action::{Accept, Deny};
        let policies = [
            policy("late", Tier::Admin, 9, &[Deny]),
            policy("base", Tier::Baseline, 0, &[Accept, Deny]),
            policy("early", Tier::Admin, 3, &[Accept, Deny]),
        ];
        let ladder = Ladder::of(policies.iter());
        assert_eq!(ladder.order(), [key("early"), key("late"), key("base")]);
        let priorities = [("early", 0), ("early", 1), ("late", 0), ("base", 0), ("base", 1)];
        let found = priorities.map(|(name, rule)| at(&ladder, name, rule).unwrap());
        assert_eq!(found, [32_000, 31_999, 31_998, 9_999, 9_998]);
    }

    #[test]
    fn a_pass_has_room_for_what_the_tiers_below_say_if_its_own_says_more() {
        use Action::{Deny, Pass};
        let policies = [
            policy("a", Tier::Admin, 1, &[Pass, Deny, Pass]),
            policy("base", Tier::Baseline, 0, &[Deny, Deny]),
        ];
        let ladder = Ladder::of(policies.iter());
        assert_eq!(at(&ladder, "a", 0), Some(32_000));
        assert_eq!(ladder.end_of_pass(Direction::Ingress, 32_000), 31_996);
        assert_eq!(at(&ladder, "a", 1), Some(31_995));
        assert_eq!(at(&ladder, "a", 2), None, "nothing comes after it");
        assert_eq!(ladder.passes(Direction::Ingress).count(), 1);
        assert_eq!(ladder.passes(Direction::Egress).count(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_named() {
        let all = [Action::Deny; 25];
        let policies: Vec<ClusterPolicy> = (0..1000)
            .map(|n| policy(&format!("p{n:04}"), Tier::Admin, n, &all))
            .collect();
        let ladder = Ladder::of(policies.iter());
        assert!(!ladder.is_crowded(&key("p0000")) && ladder.is_crowded(&key("p0999")));
        let lowest = ladder.priorities.values().min();
        assert!(lowest.is_some_and(|lowest| *lowest > priority::ALWAYS), "{lowest:?}");
    }
}
