//! What the owner of a session wants it to do, as a state and not as a queue: however often it changes, the session
//! works towards the latest wish, also across reconnects.

use std::collections::BTreeMap;

use crate::{Condition, TableMonitor};

/// Wishes of all handles together.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub(super) closed: bool,
    pub(super) lock: LockWish,
    conditions: BTreeMap<String, Vec<Condition>>,
    /// Counts changes of the conditions.
    pub(super) revision: u64,
}

/// Whether to hold the configured lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LockWish {
    pub(super) wanted: bool,
    /// Counts the demands to take it by force. Each is met once: two sessions that stole at every reconnect would take
    /// turns for ever.
    pub(super) steals: u64,
}

impl Wishes {
    /// What a session is born with.
    pub(super) fn first(lock: bool) -> Self {
        Self {
            lock: LockWish {
                wanted: lock,
                steals: 0,
            },
            ..Self::default()
        }
    }

    /// Replaces a table's conditions; returns the revision that has them.
    pub(super) fn set_conditions(&mut self, table: &str, conditions: Vec<Condition>) -> u64 {
        self.conditions.insert(table.to_owned(), conditions);
        self.revision += 1;
        self.revision
    }

    /// The monitors as configured, with conditions as they are wanted now.
    pub(super) fn monitors(&self, configured: &[TableMonitor]) -> Vec<TableMonitor> {
        let mut monitors = configured.to_vec();
        for monitor in &mut monitors {
            if let Some(conditions) = self.conditions.get(&monitor.table) {
                monitor.conditions.clone_from(conditions);
            }
        }
        monitors
    }
}
