//! Everything there is at a source, read once: what `plan` and `render` need.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use meridian_model::Event;
use meridian_northbound::{Feed, Input};
use tokio::time::timeout;

use super::manifests::Folder;
use super::{Source, kubernetes};
use crate::problems::{Board, Origin};

/// Tells `emit` everything there is. What is wrong with single objects goes to the board; an error is that not
/// everything could be read within `patience`, or that waiting is no use.
pub async fn everything(
    source: &Source,
    board: &Board,
    patience: Duration,
    mut emit: impl FnMut(Event),
) -> anyhow::Result<()> {
    match source {
        Source::Manifests(path) => folder(path, board, &mut emit),
        Source::Kubernetes(access) => {
            let cluster = kubernetes::Cluster::connect(access.clone()).await?;
            live(&cluster, board, patience, &mut emit).await
        }
    }
}

fn folder(path: &Path, board: &Board, emit: &mut dyn FnMut(Event)) -> anyhow::Result<()> {
    let mut folder = Folder::new(path);
    folder.scan(emit);
    board.set(Origin::Manifests, folder.problems());
    if !folder.scanned() {
        bail!("{}", listed(board));
    }
    Ok(())
}

async fn live(
    cluster: &kubernetes::Cluster,
    board: &Board,
    patience: Duration,
    emit: &mut dyn FnMut(Event),
) -> anyhow::Result<()> {
    let health = kubernetes::Health::default();
    let (feed, mut inputs) = Feed::to_receiver();
    let mut missing = kubernetes::NAMES.to_vec();
    // The watches end with this.
    let _watches = kubernetes::watch(cluster, &feed, board, &health);
    let read = timeout(patience, async {
        while !missing.is_empty() {
            let input = tokio::select! {
                input = inputs.recv() => input,
                failure = health.lasting_failure() => bail!("{failure}"),
            };
            match input {
                Some(Input::Event(event)) => emit(event),
                Some(Input::Events(events)) => events.into_iter().for_each(&mut *emit),
                Some(Input::Synced { source, .. }) => missing.retain(|name| *name != source),
                None => bail!("the watches have ended"),
            }
        }
        Ok(())
    });
    match read.await {
        Ok(read) => read,
        Err(_) => bail!(
            "no full list of {} within {patience:?}: {}",
            missing.join(", "),
            listed(board)
        ),
    }
}

fn listed(board: &Board) -> String {
    let problems: Vec<_> = board
        .all()
        .into_iter()
        .map(|(_, problem)| problem.to_string())
        .collect();
    if problems.is_empty() {
        "no reason is known".to_owned()
    } else {
        problems.join("; ")
    }
}
