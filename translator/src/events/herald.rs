//! [`Herald`]: says what has happened to objects and is over already, each thing once.

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::complaint::Complaint;
use super::recorder::{Recorder, Refusal};
use super::{PACE, PATIENCE};
use crate::source::kubernetes::Cluster;

/// What waits to be said; what is more is in the log alone.
const ROOM: usize = 2000;

/// Says one thing after the other until it is dropped.
#[derive(Debug)]
pub(crate) struct Herald {
    sender: mpsc::Sender<Complaint>,
    _task: JoinSet<()>,
}

impl Herald {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let (sender, receiver) = mpsc::channel(ROOM);
        let mut task = JoinSet::new();
        task.spawn(run(cluster.clone(), receiver));
        Self { sender, _task: task }
    }

    /// Nothing waits for it.
    pub(crate) fn say(&self, complaint: Complaint) {
        tracing::info!(about = complaint.about(), note = complaint.note, "{}", complaint.reason);
        if self.sender.try_send(complaint).is_err() {
            tracing::debug!("too many events at once: not written");
        }
    }
}

async fn run(cluster: Cluster, mut complaints: mpsc::Receiver<Complaint>) {
    let recorder = Recorder::new();
    while let Some(complaint) = complaints.recv().await {
        let said = timeout(PATIENCE, recorder.tell(&cluster.client(), &complaint, None)).await;
        if let Err(refusal) = said.unwrap_or(Err(Refusal::Silence(PATIENCE))) {
            tracing::debug!(%refusal, about = complaint.about(), "event not written");
        }
        sleep(PACE).await;
    }
}
