//! [`Janitor`]: has the judge look whenever anything changes, and carries out what it says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use meridian_model::Name;
use meridian_northbound::writer::{LockStatus, Status};
use ovsdb::{Session, Subscription};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::judge::{Judge, Verdict};
use super::obstacle::{Blocked, Obstacles};
use super::southbound::{self, Chassis};
use super::{Nodes, Settings};
use crate::metrics::Metrics;
use crate::problems::{Board, Found, Origin, Problem};
use crate::source::kubernetes::{self, Health};

/// Pauses after failures, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// What a janitor looks at, and whom it tells.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The nodes there are.
    pub nodes: Nodes,
    /// The writer's.
    pub status: watch::Receiver<Status>,
    /// How the watches of a live cluster fare.
    pub health: Health,
    /// Where objects that cannot be read are found, and problems told.
    pub board: Board,
    /// What has happened.
    pub metrics: Arc<Metrics>,
}

/// Removes the chassis of nodes that are no more.
#[derive(Debug)]
pub struct Janitor {
    session: Session,
    settings: Settings,
    around: Surroundings,
}

impl Janitor {
    /// On a session that was configured with [`super::monitors`] and the lock of `settings`.
    pub fn new(session: Session, settings: Settings, around: Surroundings) -> Self {
        // The writer's leader works here, too.
        session.unlock();
        Self {
            session,
            settings,
            around,
        }
    }

    /// Works while this process leads, until the writer stops.
    pub async fn run(self) {
        let mut status = self.around.status.clone();
        while status.wait_for(may_judge).await.is_ok() {
            self.session.lock();
            tokio::select! {
                () = Term::new(&self).run() => return,
                ended = status.wait_for(|status| !may_judge(status)) => {
                    if ended.is_err() {
                        return;
                    }
                }
            }
            self.session.unlock();
            self.around.board.set(Origin::Chassis, []);
        }
    }
}

/// Whether this process leads and knows of every node there is. Where the writer takes what it was told for a mistake,
/// so do we.
fn may_judge(status: &Status) -> bool {
    let certain = status
        .sources
        .iter()
        .all(|source| source.synced && source.doubt.is_none());
    status.lock == LockStatus::Held && certain && status.held.is_none()
}

/// What there is while this process leads.
struct Term<'a> {
    session: &'a Session,
    settings: &'a Settings,
    around: &'a Surroundings,
    judge: Judge,
    changes: Subscription,
    obstacles: Obstacles,
    nodes: watch::Receiver<HashSet<Name>>,
    found: watch::Receiver<Found>,
    failures: Vec<Problem>,
    retry: Option<Instant>,
    pause: Duration,
}

impl<'a> Term<'a> {
    fn new(janitor: &'a Janitor) -> Self {
        let Janitor {
            session,
            settings,
            around,
        } = janitor;
        Self {
            session,
            settings,
            around,
            judge: Judge::new(settings.budget, settings.grace),
            changes: session.subscribe(),
            obstacles: Obstacles::new(session),
            nodes: around.nodes.subscribe(),
            found: around.board.subscribe(),
            failures: Vec::new(),
            retry: None,
            pause: PAUSES.0,
        }
    }

    /// Until the session or the sources are gone.
    async fn run(mut self) {
        loop {
            let next = self.step().await;
            let goes_on = tokio::select! {
                changes = self.changes.changed() => changes.is_some(),
                goes_on = self.obstacles.changed() => goes_on,
                changed = self.nodes.changed() => changed.is_ok(),
                changed = self.found.changed() => changed.is_ok(),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Looks once, and yields when to look again though nothing changes.
    async fn step(&mut self) -> Option<Instant> {
        let now = Instant::now();
        if let Err(blocked) = self.obstacles.look(now) {
            self.judge.interrupted();
            return match blocked {
                Blocked::Until(due) => Some(due),
                Blocked::Told(message) => {
                    self.tell([problem("southbound".to_owned(), message)]);
                    None
                }
            };
        }
        let health = self.around.health.failing();
        if health.iter().any(|(watch, _)| *watch == kubernetes::NODES) {
            // New nodes come unseen meanwhile. The watch tells of its failure itself.
            self.judge.interrupted();
            self.tell([]);
            return None;
        }
        let chassis = southbound::marked(&self.session.replica(), &self.settings.mark);
        let verdict = self.judge(chassis.keys().map(String::as_str), now);
        let rests = self.retry.is_some_and(|retry| now < retry);
        if !rests {
            self.retry = None;
            self.failures.clear();
            for chassis in verdict.remove.iter().filter_map(|name| chassis.get(name)) {
                self.remove(chassis).await;
            }
        }
        let returned = verdict.returned.iter().filter_map(|name| chassis.get(name));
        let returned = returned.map(|chassis| {
            let message = format!(
                "has no node, and came back after it was removed: ovn-controller still runs on host {:?}; stop it, or \
                 let the node join again",
                chassis.host
            );
            problem(format!("chassis/{}", chassis.name), message)
        });
        let held = verdict.held.map(|held| problem("chassis".to_owned(), held.to_string()));
        let failures = std::mem::take(&mut self.failures);
        self.tell(returned.chain(held).chain(failures.iter().cloned()));
        self.failures = failures;
        verdict.next.into_iter().chain(self.retry).min()
    }

    fn judge<'n>(&mut self, ours: impl IntoIterator<Item = &'n str>, now: Instant) -> Verdict {
        let unreadable = unreadable(&self.found.borrow_and_update());
        let nodes = self.nodes.borrow_and_update();
        if nodes.is_empty() {
            // No cluster is without nodes for long; one whose API has lost its data is.
            self.judge.interrupted();
            return Verdict::default();
        }
        self.judge
            .judge(ours, |name| nodes.contains(name) || unreadable.contains(name), now)
    }

    async fn remove(&mut self, chassis: &Chassis) {
        let transaction = southbound::removal(chassis, &self.settings.lock);
        let Chassis { name, host, .. } = chassis;
        match self.session.transact(transaction).await {
            Ok(_) => {
                tracing::info!(
                    chassis = name,
                    node = name,
                    host,
                    "chassis removed: it has no node any more"
                );
                self.around.metrics.chassis_removed();
                self.judge.removed(name, Instant::now());
                self.pause = PAUSES.0;
            }
            Err(error) => {
                self.failures.push(problem(
                    format!("chassis/{name}"),
                    format!("cannot be removed: {error}"),
                ));
                if self.retry.is_none() {
                    self.retry = Some(Instant::now() + self.pause);
                    self.pause = (self.pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    fn tell(&self, problems: impl IntoIterator<Item = Problem>) {
        self.around.board.set(Origin::Chassis, problems);
    }
}

/// Nodes that are there and cannot be read: nobody told the writer of them.
fn unreadable(found: &Found) -> HashSet<String> {
    let sources = [Origin::Manifests, Origin::Nodes];
    let problems = sources.iter().filter_map(|origin| found.get(origin)).flatten();
    problems
        .filter_map(|problem| problem.object.strip_prefix("node/").map(str::to_owned))
        .collect()
}

fn problem(object: String, message: String) -> Problem {
    Problem {
        object,
        field: None,
        reason: None,
        message,
        place: None,
    }
}

#[cfg(test)]
mod tests {
    use meridian_northbound::writer::{Held, SourceStatus};

    use super::*;

    fn leader() -> Status {
        Status {
            lock: LockStatus::Held,
            sources: vec![SourceStatus {
                name: "nodes",
                synced: true,
                doubt: None,
            }],
            ..Status::default()
        }
    }

    #[test]
    fn only_a_leader_that_is_certain_of_its_nodes_judges() {
        assert!(may_judge(&leader()));
        let mut standby = leader();
        standby.lock = LockStatus::Waiting;
        let mut ignorant = leader();
        ignorant.sources[0].synced = false;
        let mut doubtful = leader();
        doubtful.sources[0].doubt = Some("a file does not parse".into());
        let mut careful = leader();
        careful.held = Some(Held {
            deletions: 60,
            reason: "too many".into(),
            over_budget: true,
        });
        for status in [standby, ignorant, doubtful, careful] {
            assert!(!may_judge(&status), "{status:?}");
        }
    }

    #[test]
    fn a_node_that_cannot_be_read_is_there_all_the_same() {
        let board = Board::default();
        board.set(Origin::Nodes, [problem("node/a".into(), "is no network".into())]);
        board.set(Origin::Compile, [problem("node/b".into(), "is no network".into())]);
        let found = board.subscribe();
        assert_eq!(unreadable(&found.borrow()), HashSet::from(["a".to_owned()]));
    }
}
