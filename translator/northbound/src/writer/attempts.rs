//! Which rows could not be written, why, and when to try again.
//!
//! One bad row must not stop the rest, nor be forgotten, nor be tried without pause.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::plan::Group;
use crate::scope::Scope;

/// What tells groups apart.
pub(super) type GroupId = (&'static str, Uuid);

/// A row that could not be written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct WriteProblem {
    /// The unit that owns the row.
    pub owner: String,
    /// Its table.
    pub table: &'static str,
    /// Its name or key.
    pub name: String,
    /// What the server had to say.
    pub message: String,
}

/// The first pause; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause. What was rejected is usually cured by a change of the object or the database, and those are
/// looked at without delay.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A row written this often within [`CONTEST_WINDOW`] to the same values is contested: somebody changes it back.
const CONTEST_WRITES: u32 = 8;
const CONTEST_WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: BTreeMap<GroupId, Failure>,
    /// Since when within [`CONTEST_WINDOW`], and how often.
    written: HashMap<GroupId, (Instant, u32)>,
    /// The same ids in the order in which their windows end, so that forgetting costs nothing where nothing ends.
    windows: VecDeque<(Instant, GroupId)>,
}

#[derive(Debug)]
struct Failure {
    group: Group,
    times: u32,
    due: Instant,
    problem: Option<WriteProblem>,
}

impl Attempts {
    /// Notes a rejection.
    pub(super) fn failed(&mut self, group: Group, problem: WriteProblem) {
        let id = group.id();
        let times = self.failed.get(&id).map_or(0, |failure| failure.times) + 1;
        let pause = FIRST_PAUSE
            .saturating_mul(1 << times.min(16).saturating_sub(1))
            .min(LONGEST_PAUSE);
        let due = Instant::now() + pause;
        self.failed.insert(
            id,
            Failure {
                group,
                times,
                due,
                problem: Some(problem),
            },
        );
    }

    /// Notes that the database was not as the group took it to be. It has told us since; no fault of the row.
    pub(super) fn overtaken(&mut self, group: Group) {
        let due = Instant::now() + FIRST_PAUSE / 5;
        self.failed.insert(
            group.id(),
            Failure {
                group,
                times: 0,
                due,
                problem: None,
            },
        );
    }

    /// Notes that a group was written. True if it is written so often that somebody must be undoing it.
    pub(super) fn written(&mut self, group: &Group) -> bool {
        let id = group.id();
        self.failed.remove(&id);
        let now = Instant::now();
        let (_, times) = self.written.entry(id).or_insert_with(|| {
            self.windows.push_back((now, id));
            (now, 0)
        });
        *times += 1;
        *times >= CONTEST_WRITES
    }

    /// Forgets what is known of a row, because it is to be something else now.
    pub(super) fn forgive(&mut self, id: GroupId) {
        self.failed.remove(&id);
        self.written.remove(&id);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.failed.clear();
        self.written.clear();
        self.windows.clear();
    }

    /// Whether a group must wait for its next attempt.
    pub(super) fn rests(&self, id: GroupId, now: Instant) -> bool {
        self.failed.get(&id).is_some_and(|failure| failure.due > now)
    }

    /// Adds what is to be tried again now.
    pub(super) fn add_due(&self, scope: &mut Scope, now: Instant) {
        for failure in self.failed.values().filter(|failure| failure.due <= now) {
            add_group(scope, &failure.group);
        }
    }

    /// Forgets failures that a comparison has just shown to be none any more, and writes long past.
    pub(super) fn settle(&mut self, still_differ: impl Fn(GroupId) -> bool, now: Instant) {
        self.failed.retain(|id, failure| failure.due > now || still_differ(*id));
        while let Some((since, id)) = self
            .windows
            .pop_front_if(|(since, _)| now.duration_since(*since) > CONTEST_WINDOW)
        {
            // It may have been forgiven and written again since; then a later window is its own.
            if self.written.get(&id).is_some_and(|(begun, _)| *begun == since) {
                self.written.remove(&id);
            }
        }
    }

    /// When to try again next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.failed.values().map(|failure| failure.due).min()
    }

    /// Whether something is to be written that is nobody's fault.
    pub(super) fn overtakes(&self) -> bool {
        self.failed.values().any(|failure| failure.problem.is_none())
    }

    /// The rows that could not be written.
    pub(super) fn problems(&self) -> Vec<WriteProblem> {
        self.failed
            .values()
            .filter_map(|failure| failure.problem.clone())
            .collect()
    }
}

/// Adds everything a group is about.
pub(super) fn add_group(scope: &mut Scope, group: &Group) {
    if let Some((table, uuid, _)) = &group.row {
        scope.add_row(table, *uuid);
    }
    for (link, _) in &group.links {
        scope.add_link(link.clone());
    }
}
