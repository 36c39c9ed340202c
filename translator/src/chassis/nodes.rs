//! The names of the cluster's nodes, overheard on the way from the sources to the writer.

use std::collections::HashSet;

use meridian_model::{Event, Key, Kind, Name, Object};
use meridian_northbound::{Feed, Input};
use tokio::sync::{mpsc, watch};

/// The names of the nodes the writer has been told of, or is just being told of.
#[derive(Clone, Debug)]
pub struct Nodes(watch::Receiver<HashSet<Name>>);

impl Nodes {
    /// Nodes by name, and when there are others.
    pub fn subscribe(&self) -> watch::Receiver<HashSet<Name>> {
        self.0.clone()
    }
}

/// Hands on what it hears.
#[derive(Debug)]
pub struct Tap {
    inputs: mpsc::Receiver<Input>,
    feed: Feed,
    names: watch::Sender<HashSet<Name>>,
}

/// A feed for sources that leads to `feed`, and the nodes that are told of on the way while the tap runs.
pub fn tap(feed: Feed) -> (Feed, Nodes, Tap) {
    let (ours, inputs) = Feed::to_receiver();
    let (names, nodes) = watch::channel(HashSet::new());
    (ours, Nodes(nodes), Tap { inputs, feed, names })
}

impl Tap {
    /// Until either end is gone.
    pub async fn run(mut self) {
        loop {
            let input = tokio::select! {
                input = self.inputs.recv() => input,
                // So that sources learn of it although they have nothing to say.
                () = self.feed.closed() => None,
            };
            let Some(input) = input else { return };
            // First the names: once the writer says that it has heard everything, so have we.
            self.note(&input);
            if self.feed.send(input).await.is_err() {
                return;
            }
        }
    }

    fn note(&self, input: &Input) {
        let events = match input {
            Input::Event(event) => std::slice::from_ref(event),
            Input::Events(events) => events,
            Input::Synced { .. } => return,
        };
        self.names.send_if_modified(|names| {
            let changes = events.iter().filter(|event| note(names, event));
            changes.count() > 0
        });
    }
}

/// Whether it changes anything.
fn note(names: &mut HashSet<Name>, event: &Event) -> bool {
    match event {
        Event::Apply(Object::Node(node)) => names.insert(node.name.clone()),
        Event::Delete(Key::Node(name)) => names.remove(name),
        Event::Replace(Kind::Node, objects) => {
            let name = |object: &Object| match object {
                Object::Node(node) => Some(node.name.clone()),
                _ => None,
            };
            let now = objects.iter().filter_map(name).collect();
            let changed = *names != now;
            *names = now;
            changed
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use meridian_model::Node;

    use super::*;

    fn node(name: &str) -> Object {
        Object::Node(Node::test(name))
    }

    fn names(nodes: &Nodes) -> Vec<String> {
        let mut names: Vec<_> = nodes.subscribe().borrow().iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn everything_is_handed_on_and_nodes_are_noted_before() {
        let (writer, mut heard) = Feed::to_receiver();
        let (feed, nodes, tap) = tap(writer);
        let tap = tokio::spawn(tap.run());
        let events = vec![
            Event::Apply(node("a")),
            Event::Apply(node("b")),
            Event::Delete(Key::Node("a".into())),
        ];
        feed.send(Input::Events(events)).await.unwrap();
        assert!(matches!(heard.recv().await, Some(Input::Events(events)) if events.len() == 3));
        assert_eq!(names(&nodes), ["b"]);
        let all = Event::Replace(Kind::Node, vec![node("c")]);
        feed.send(Input::Event(all)).await.unwrap();
        assert!(matches!(heard.recv().await, Some(Input::Event(_))));
        assert_eq!(names(&nodes), ["c"]);
        drop(feed);
        tap.await.unwrap();
        assert!(heard.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_source_that_says_nothing_learns_that_the_writer_has_stopped() {
        let (writer, heard) = Feed::to_receiver();
        let (feed, _nodes, tap) = tap(writer);
        let tap = tokio::spawn(tap.run());
        drop(heard);
        feed.closed().await;
        tap.await.unwrap();
    }
}
