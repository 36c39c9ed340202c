//! (being written)
#![allow(dead_code)]
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{LockState, SessionConfig, State, handle::Shared, request::TransactRequest, wishes::Wishes};

#[derive(Debug)]
pub(super) struct Core {
    config: Arc<SessionConfig>,
    shared: Arc<Shared>,
}

impl Core {
    pub(super) fn new(
        config: Arc<SessionConfig>,
        shared: Arc<Shared>,
        _requests: mpsc::Receiver<TransactRequest>,
        _wishes: watch::Receiver<Wishes>,
        _applied: watch::Sender<u64>,
        _state: watch::Sender<State>,
        _lock: watch::Sender<LockState>,
    ) -> Self {
        Self { config, shared }
    }
}

pub(super) async fn run(_core: Core) {}
