//! The watches of the allocator, as one stream of news.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::seen::{SeenCidrs, SeenNamespace, SeenNode, SeenPool};
use super::service::Entry;
use crate::source::kubernetes::{Cluster, Health, ListWatch, News, Seen};
use crate::upkeep::forward;

/// News that wait to be heard.
const ROOM: usize = 256;

/// What a watch has to say.
#[derive(Debug)]
pub(super) enum Message {
    Pools(Box<News<SeenPool>>),
    Services(Box<News<Entry>>),
    Nodes(News<SeenNode>),
    Namespaces(News<SeenNamespace>),
    Cidrs(News<SeenCidrs>),
}

/// The watches, until this is dropped.
#[derive(Debug)]
pub(super) struct Watches {
    cluster: Cluster,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<Message>,
    receiver: mpsc::Receiver<Message>,
    complete: bool,
}

impl Watches {
    /// Watches pools, and nothing else until [`Self::complete`].
    pub(super) fn start(cluster: &Cluster) -> Self {
        let (sender, receiver) = mpsc::channel(ROOM);
        let mut watches = Self {
            cluster: cluster.clone(),
            tasks: JoinSet::new(),
            sender,
            receiver,
            complete: false,
        };
        watches.follow("addresspools", true, |news| Message::Pools(Box::new(news)));
        watches
    }

    /// Also what pools are for.
    pub(super) fn complete(&mut self) {
        if !std::mem::replace(&mut self.complete, true) {
            self.follow("services", false, |news| Message::Services(Box::new(news)));
            self.follow("nodes", false, Message::Nodes);
            self.follow("namespaces", false, Message::Namespaces);
            self.follow("servicecidrs", true, Message::Cidrs);
        }
    }

    fn follow<T: Seen>(&mut self, resource: &'static str, optional: bool, say: fn(News<T>) -> Message) {
        let objects = ListWatch::new(self.cluster.clone(), resource, Health::default());
        let objects = if optional { objects.optional() } else { objects };
        self.tasks.spawn(forward(objects, say, self.sender.clone()));
    }

    /// Waits for the next news.
    pub(super) async fn next(&mut self) -> Message {
        // We hold a sender ourselves, so that there always may be more.
        self.receiver.recv().await.expect("a sender is held")
    }

    /// News that are there already.
    pub(super) fn ready(&mut self) -> Option<Message> {
        self.receiver.try_recv().ok()
    }
}
