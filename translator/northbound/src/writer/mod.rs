//! [`Writer`]: keeps the Northbound database as the compiler wants it.
//!
//! ```text
//!  sources ── Feed ──▶ ┌──────────────────────────────────────────────┐
//!                      │ compile ▶ plan what changed ▶ write ▶ compare │ ──▶ Status
//!  Session::subscribe ▶└──────────────────────────────────────────────┘
//! ```
//!
//! It leads while it holds the lock. It asks for the lock once it knows everything, and whenever it gets it, it reads
//! from the database what former leaders handed out, compiles, and compares everything. From then on only what changes
//! on either side. Whatever leaves the outcome of a transaction open makes it compare everything again.
//!
//! Must not: write without the lock, delete before every source has told all there is, or give up.

mod addresses;
mod attempts;
mod budget;
mod execute;
mod fill;
mod hold;
mod input;
mod lead;
mod settings;
mod status;
mod warnings;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meridian_compile::{Compiler, SubnetReport, VpcPeeringReport, VpcReport};
use ovsdb::{LockState, Session, State, Subscription};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::plan::{self, Plan, Sides};
use crate::scope::Scope;
use attempts::Attempts;
use execute::Stop;
use warnings::Warnings;

pub use attempts::WriteProblem;
pub use budget::{BudgetError, DeletionBudget};
pub use input::{Feed, Input, Stopped};
pub use lead::read_claims;
pub use settings::Settings;
pub use status::{Held, LastTransaction, LockStatus, Phase, SourceStatus, Status};

/// This many inputs are taken before compiling. All that came meanwhile is compiled at once, so that batches grow with
/// the load.
const INPUTS_AT_ONCE: usize = 4096;

/// A transaction whose outcome is open is usually followed by a new connection, which is noticed at once. Where it is
/// not, everything is compared again after this pause.
const RESUME_AFTER: Duration = Duration::from_secs(1);

/// How full the slices are, and how VPCs fare, is looked at this often while things change: it costs as much as there are
/// nodes and pods, and nobody reads it faster.
const USAGE_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the Northbound database as the compiler wants it.
#[derive(Debug)]
pub struct Writer {
    session: Session,
    compiler: Compiler,
    settings: Settings,
    inputs: mpsc::Receiver<Input>,
    sources: Vec<SourceStatus>,
    changes: Subscription,
    state: watch::Receiver<State>,
    lock: watch::Receiver<LockState>,
    /// Whether this term's claims are taken and everything is being compared.
    leading: bool,
    /// The connection the term began on, and whether the lock has moved since: it may have come back meanwhile.
    epoch: u64,
    lock_moved: bool,
    /// When to go on after a transaction whose outcome is open.
    resume: Option<Instant>,
    scope: Scope,
    /// What removals are held back, to be looked at again whenever anything is.
    held_scope: Scope,
    held: Option<Held>,
    attempts: Attempts,
    last_transaction: Option<LastTransaction>,
    last_confirmed: Option<SystemTime>,
    /// Whether the last comparison found nothing to write.
    confirmed: bool,
    warnings: Warnings,
    compile_problems: Arc<[meridian_compile::Problem]>,
    usage: Arc<[meridian_compile::SliceUse]>,
    vpcs: Arc<[VpcReport]>,
    subnets: Arc<[SubnetReport]>,
    vpc_peerings: Arc<[VpcPeeringReport]>,
    /// When to look at these again, since something was compiled.
    usage_due: Option<Instant>,
    status: watch::Sender<Status>,
}

impl Writer {
    /// A writer on a session that was configured with [`crate::monitors`] and the lock of `settings`.
    pub fn new(session: Session, compiler: Compiler, settings: Settings) -> (Self, Feed) {
        let (feed, inputs) = Feed::new();
        let sources = settings
            .sources
            .iter()
            .map(|&name| SourceStatus {
                name,
                synced: false,
                doubt: None,
            })
            .collect();
        // Whoever does not know the cluster yet must not keep the lock from one who does.
        session.unlock();
        let writer = Self {
            changes: session.subscribe(),
            state: session.state(),
            lock: session.lock_state(),
            session,
            compiler,
            settings,
            inputs,
            sources,
            leading: false,
            epoch: 0,
            lock_moved: false,
            resume: None,
            scope: Scope::default(),
            held_scope: Scope::default(),
            held: None,
            attempts: Attempts::default(),
            last_transaction: None,
            last_confirmed: None,
            confirmed: false,
            warnings: Warnings::default(),
            compile_problems: Arc::default(),
            usage: Arc::default(),
            vpcs: Arc::default(),
            subnets: Arc::default(),
            vpc_peerings: Arc::default(),
            usage_due: None,
            status: watch::Sender::new(Status::default()),
        };
        (writer, feed)
    }

    /// What the writer tells about itself, to watch.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Works until `stop`, then gives the lock back.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = self.wake() => {}
            }
            tokio::select! {
                () = &mut stop => break,
                () = self.step() => {}
            }
            self.publish();
        }
        self.session.close().await;
        self.status.send_modify(|status| {
            status.phase = Phase::Stopped;
            status.lock = LockStatus::None;
        });
    }

    /// Waits until there is something to do, and takes note of it.
    async fn wake(&mut self) {
        let due = self
            .attempts
            .next_due()
            .into_iter()
            .chain(self.resume)
            .filter(|_| self.leading)
            .chain(self.usage_due)
            .min();
        let mut inputs = Vec::new();
        tokio::select! {
            taken = self.inputs.recv_many(&mut inputs, INPUTS_AT_ONCE), if !self.inputs.is_closed() || !self.inputs.is_empty() => {
                if taken > 0 {
                    self.take_inputs(inputs);
                }
            }
            Some(changes) = self.changes.changed() => self.scope.add_changes(&changes),
            Ok(()) = self.state.changed() => {}
            Ok(()) = self.lock.changed() => self.lock_moved = true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            else => std::future::pending().await,
        }
    }

    /// Does whatever can be done now.
    async fn step(&mut self) {
        let mut inputs = Vec::new();
        while let Ok(input) = self.inputs.try_recv() {
            inputs.push(input);
            if inputs.len() == INPUTS_AT_ONCE {
                break;
            }
        }
        self.take_inputs(inputs);
        if !self.may_write() {
            if std::mem::take(&mut self.leading) {
                tracing::warn!("not the leader any more");
            }
            self.confirmed = false;
            if self.is_synced() && !self.may_lead_at_once() {
                // So that taking over costs a comparison only.
                self.compile();
            }
            // All of it is compared when the lock comes.
            self.scope = Scope::default();
            drop(self.changes.try_take());
            return;
        }
        if !self.leading {
            self.take_the_lead();
        }
        self.resume = None;
        if let Err(stop) = self.compile_and_write().await {
            self.confirmed = false;
            self.scope = Scope::Full;
            // Until the lock says otherwise: it may be held by another already.
            self.leading &= stop != Stop::LockLost;
            self.resume = Some(Instant::now() + RESUME_AFTER);
        }
    }

    async fn compile_and_write(&mut self) -> Result<(), Stop> {
        if self.may_fill() {
            self.fill().await?;
            if self.scope.is_empty() && !self.attempts.overtakes() {
                self.confirm();
            }
        } else {
            self.compile();
        }
        self.write().await
    }

    fn take_inputs(&mut self, inputs: Vec<Input>) {
        for input in inputs {
            match input {
                Input::Event(event) => self.compiler.apply(event),
                Input::Events(events) => events.into_iter().for_each(|event| self.compiler.apply(event)),
                Input::Synced { source, doubt } => self.synced(source, doubt),
            }
        }
    }

    fn synced(&mut self, source: &'static str, doubt: Option<String>) {
        let Some(known) = self.sources.iter_mut().find(|known| known.name == source) else {
            return;
        };
        let first = !std::mem::replace(&mut known.synced, true);
        if std::mem::replace(&mut known.doubt, doubt) != known.doubt {
            self.scope = self.scope_with_held();
        }
        if first {
            tracing::info!(source, "synced");
            if self.is_synced() {
                self.session.lock();
            }
        }
    }

    fn may_write(&mut self) -> bool {
        let State::Ready { epoch, .. } = *self.state.borrow_and_update() else {
            return false;
        };
        let moved = std::mem::take(&mut self.lock_moved) || self.lock.has_changed().unwrap_or(true);
        if moved || epoch != self.epoch {
            self.leading = false;
            self.epoch = epoch;
        }
        let held = *self.lock.borrow_and_update() == LockState::Held;
        held && self.is_synced()
    }

    /// Whether the answer to who leads is on its way.
    fn may_lead_at_once(&self) -> bool {
        self.state.borrow().is_ready() && *self.lock.borrow() == LockState::NotRequested
    }

    fn is_synced(&self) -> bool {
        self.sources.iter().all(|source| source.synced)
    }

    fn compile(&mut self) {
        let delta = self.compiler.compile();
        self.settings.observer.compiled(delta.units);
        for &id in &delta.rows {
            self.attempts.forgive(id);
        }
        self.note_compiled(delta.units);
        self.scope.add_delta(delta);
    }

    /// Takes note of what a compile says beside its rows.
    fn note_compiled(&mut self, units: usize) {
        if units > 0 {
            self.compile_problems = self.compiler.problems().cloned().collect();
            let pause = if self.usage.is_empty() {
                Duration::ZERO
            } else {
                USAGE_PAUSE
            };
            self.usage_due.get_or_insert_with(|| Instant::now() + pause);
        }
        if self.usage_due.take_if(|due| *due <= Instant::now()).is_some() {
            self.usage = self.compiler.usage().into();
            let vpcs = self.compiler.vpcs();
            if *self.vpcs != *vpcs {
                self.vpcs = vpcs.into();
            }
            let subnets = self.compiler.subnets();
            if *self.subnets != *subnets {
                self.subnets = subnets.into();
            }
            let vpc_peerings = self.compiler.vpc_peerings();
            if *self.vpc_peerings != *vpc_peerings {
                self.vpc_peerings = vpc_peerings.into();
            }
        }
    }

    /// Writes whatever differs in the scope, and compares again until nothing does.
    async fn write(&mut self) -> Result<(), Stop> {
        loop {
            self.scope.add_changes(&self.changes.try_take());
            let now = Instant::now();
            self.attempts.add_due(&mut self.scope, now);
            if self.scope.is_empty() {
                return Ok(());
            }
            let scope = self.scope_with_held();
            let plan = plan::plan(self.sides(&self.session.replica()), &scope);
            self.warnings.of_columns(&plan);
            self.attempts.settle(|id| differs(&plan, id), now);
            let groups = self.writable(plan, now);
            if groups.is_empty() {
                self.confirm();
                return Ok(());
            }
            self.confirmed = false;
            self.publish();
            let mut unsettled = Scope::default();
            let mut executor = self.executor(&mut unsettled);
            executor.add(groups);
            executor.write().await?;
            if unsettled.is_empty() {
                // Everything that could be written is; the rest is a problem, or waits for one.
                if !self.attempts.overtakes() {
                    self.confirm();
                }
                return Ok(());
            }
            self.scope = unsettled;
        }
    }

    fn confirm(&mut self) {
        self.confirmed = true;
        if let Some(last) = &mut self.last_transaction {
            last.error = None;
        }
        self.last_confirmed = Some(SystemTime::now());
    }

    fn sides<'s>(&'s self, replica: &'s ovsdb::Replica) -> Sides<'s> {
        Sides {
            desired: self.compiler.desired(),
            replica,
            ownership: &self.settings.ownership,
        }
    }

    fn publish(&self) {
        let ready = self.state.borrow().is_ready();
        let synced = self.is_synced();
        let lock = match *self.lock.borrow() {
            LockState::NotRequested => LockStatus::None,
            LockState::Waiting => LockStatus::Waiting,
            LockState::Held => LockStatus::Held,
            LockState::Stolen => LockStatus::Stolen,
        };
        let phase = match lock {
            _ if !ready => Phase::Connecting,
            _ if !synced => Phase::Syncing,
            LockStatus::Waiting | LockStatus::Stolen => Phase::Standby,
            LockStatus::None | LockStatus::Held if self.confirmed => Phase::Confirmed,
            LockStatus::None | LockStatus::Held => Phase::Writing,
        };
        self.status.send_replace(Status {
            phase,
            session: self.state.borrow().to_string(),
            lock,
            sources: self.sources.clone(),
            desired: self.compiler.desired().len(),
            dirty: self.scope.len(),
            last_transaction: self.last_transaction.clone(),
            last_confirmed: self.last_confirmed,
            held: self.held.clone(),
            problems: self.attempts.problems().into(),
            compile_problems: self.compile_problems.clone(),
            usage: self.usage.clone(),
            vpcs: self.vpcs.clone(),
            subnets: self.subnets.clone(),
            vpc_peerings: self.vpc_peerings.clone(),
        });
    }
}

fn differs(plan: &Plan, (table, uuid): (&'static str, uuid::Uuid)) -> bool {
    plan.rows.contains_key(&(table, uuid)) || plan.links.keys().any(|link| link.table == table && link.parent == uuid)
}
