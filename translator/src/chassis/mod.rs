//! Removes the chassis of nodes that are no more from the Southbound database.
//!
//! ovn-controller removes its chassis when it ends in good order. A machine that died leaves it behind: every other
//! node keeps a tunnel to it, `ovn-nbctl --wait=hv` waits for it, and its address is refused to whoever gets it next.
//!
//! ```text
//!   sources ── Feed ──▶ Tap ──▶ writer ── Status (leads? knows everything?)
//!                        │ Nodes                │
//!   Southbound ───────▶ Janitor ◀───────────────┘
//!                        └──▶ Judge (which, when, not too many) ──▶ one transaction for each
//! ```
//!
//! What it gets wrong heals: a living ovn-controller makes its chassis anew at once. Must not: touch a chassis that does
//! not carry the mark of this cluster's agents ([`meridian_api::chassis`]), or hold up anything else; that the Southbound
//! database is away is told on the board, and nothing waits for it.

mod janitor;
mod judge;
mod nodes;
mod obstacle;
mod southbound;

use std::time::Duration;

use meridian_northbound::DeletionBudget;

pub use janitor::{Janitor, Surroundings};
pub use judge::GRACE;
pub use nodes::{Nodes, Tap, tap};
pub use southbound::{DATABASE, monitors};

/// How a janitor behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The mark of our chassis.
    pub mark: String,
    /// The lock that the session was configured with.
    pub lock: String,
    /// How many chassis may be removed at once.
    pub budget: DeletionBudget,
    /// For how long a node must be gone.
    pub grace: Duration,
}

impl Settings {
    /// The usual ones, with a budget that was meant for rows.
    pub fn new(mark: String, lock: String, budget: DeletionBudget) -> Self {
        Self {
            mark,
            lock,
            budget: judge::budget(budget),
            grace: GRACE,
        }
    }
}
