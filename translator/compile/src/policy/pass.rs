//! [`Passed`]: what an administrator's rules leave to the next tier, in the words of a match.

use meridian_model::Name;

use super::acl::{families, matches};
use super::addresses::Blocks;
use super::{Direction, PolicyId, group_of};
use crate::context::Context;

/// Something that is left to the next tier.
#[derive(Debug)]
pub(super) struct Passed {
    /// The rule that does so.
    pub(super) by: String,
    /// The first priority of what stands for it.
    pub(super) first: i64,
    pub(super) v4: bool,
    pub(super) condition: String,
}

/// What is left to the next tier of what pods of a VPC send, or are sent.
pub(super) fn passed(ctx: &Context<'_>, vpc: &Name, direction: Direction) -> Vec<Passed> {
    let mut all = Vec::new();
    for ((policy, _, rule), first) in ctx.ladder().passes(direction) {
        let id = PolicyId::from(policy.clone());
        let Some(resolved) = ctx.policies().resolved(&id) else {
            continue;
        };
        let blocks = Blocks::of(ctx, &id);
        let parts = resolved.parts.iter().filter(|part| part.vpc == *vpc);
        let meant = parts.flat_map(|part| part.meant(direction).into_iter().flatten());
        for meant in meant.filter(|meant| meant.rule == *rule) {
            let (_, group) = group_of(ctx, &meant.pods);
            let has = families(ctx, vpc);
            for v4 in [true, false].into_iter().filter(|v4| has[usize::from(!v4)]) {
                if let Some(about) = matches(ctx, (&id, &blocks), direction, meant, v4) {
                    all.push(Passed {
                        by: format!("{id}:{}[{rule}]", direction.word()),
                        first,
                        v4,
                        condition: format!("{} && {about}", direction.pods(&group)),
                    });
                }
            }
        }
    }
    all
}
