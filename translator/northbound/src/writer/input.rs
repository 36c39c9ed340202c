//! What sources tell the writer.

use meridian_model::Event;
use tokio::sync::mpsc;

/// Room for this many events between sources and writer; a source that is faster waits.
const CAPACITY: usize = 1024;

/// Something a source has to say.
#[derive(Debug)]
pub enum Input {
    /// Something happened to the cluster.
    Event(Event),
    /// Several things were seen to have happened at once. They are compiled together, and what they delete is held
    /// against the deletion budget together: sent one by one, each would be too little to be noticed.
    Events(Vec<Event>),
    /// The source has told all there is.
    Synced {
        /// Which source.
        source: &'static str,
        /// Why what it has not told may exist all the same; nothing is deleted meanwhile.
        doubt: Option<String>,
    },
}

/// The writer has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the writer has stopped")]
pub struct Stopped;

/// A source's way to the writer; clones share it.
#[derive(Clone, Debug)]
pub struct Feed(mpsc::Sender<Input>);

impl Feed {
    pub(super) fn new() -> (Self, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(sender), receiver)
    }

    /// A feed that leads nowhere but to the receiver: for whoever wants to know what a source says.
    pub fn to_receiver() -> (Self, mpsc::Receiver<Input>) {
        Self::new()
    }

    /// Tells the writer something, waiting for room.
    pub async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.0.send(input).await.map_err(|_| Stopped)
    }

    /// The same from a thread of its own.
    pub fn blocking_send(&self, input: Input) -> Result<(), Stopped> {
        self.0.blocking_send(input).map_err(|_| Stopped)
    }

    /// Waits until the writer has stopped.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}
