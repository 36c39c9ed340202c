//! Following a folder of manifests, on a thread of its own.
//!
//! The kernel says which files were written; what they say is decided by reading them. Where it cannot say (a queue
//! that overflowed, a folder that was moved) everything is looked at, and once a minute everything is looked at anyway.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use meridian_northbound::writer::Stopped;
use meridian_northbound::{Feed, Input};
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::folder::{Folder, is_manifest};
use crate::problems::{Board, Origin};

/// An editor writes a file in several steps, which must be over before it is read.
const QUIET: Duration = Duration::from_millis(20);
/// Files that are removed one after another belong together, so that the deletion budget sees how many there are; and
/// who removes them is slower than who writes one.
const QUIET_AFTER_REMOVAL: Duration = Duration::from_millis(100);
/// A folder that is never quiet is read all the same.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same while files are being removed.
const PATIENCE_WITH_REMOVALS: Duration = Duration::from_secs(2);
/// Some filesystems tell nobody when another machine writes.
const RESCAN: Duration = Duration::from_mins(1);
/// A folder that is gone is looked for more often than one that is there.
const SEARCH: Duration = Duration::from_secs(1);

/// Why a folder cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such folder, or it may not be read.
    #[error("folder of manifests {}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The kernel refuses to tell about it.
    #[error("watching {}: {source}", .path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the kernel says.
        source: notify::Error,
    },
    /// No thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A folder being followed, until this is dropped.
#[derive(Debug)]
pub struct Watching {
    stop: mpsc::Sender<Signal>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Gone already if the writer has stopped.
        let _ = self.stop.send(Signal::Stop);
    }
}

enum Signal {
    Changed(notify::Result<notify::Event>),
    Stop,
}

/// Starts to follow a folder.
pub fn watch(root: &Path, feed: Feed, board: Board) -> Result<Watching, Error> {
    let folder_error = |source| Error::Folder {
        path: root.to_owned(),
        source,
    };
    // Events name files by the path the watch was given.
    let root = root.canonicalize().map_err(folder_error)?;
    std::fs::read_dir(&root).map_err(folder_error)?;
    let (sender, signals) = mpsc::channel();
    let on_event = sender.clone();
    let watch_error = |source| Error::Watch {
        path: root.clone(),
        source,
    };
    let mut watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more once the thread has ended.
        let _ = on_event.send(Signal::Changed(event));
    })
    .map_err(watch_error)?;
    watcher.watch(&root, RecursiveMode::Recursive).map_err(watch_error)?;
    let follower = Follower {
        folder: Folder::new(&root),
        root,
        watcher,
        feed,
        board,
        signals,
        synced: false,
        doubt: None,
        lost: false,
    };
    thread::Builder::new().name("manifests".into()).spawn(move || {
        if let Err(Stopped) = follower.run() {
            tracing::debug!("the writer has stopped, and so does the folder of manifests");
        }
    })?;
    Ok(Watching { stop: sender })
}

struct Follower {
    root: PathBuf,
    folder: Folder,
    watcher: RecommendedWatcher,
    feed: Feed,
    board: Board,
    signals: mpsc::Receiver<Signal>,
    /// Whether the writer was told that this is all, and with what doubt.
    synced: bool,
    doubt: Option<String>,
    /// The folder could not be listed, and the watch with it is probably gone.
    lost: bool,
}

/// What to look at.
#[derive(Default)]
struct Batch {
    everything: bool,
    removals: bool,
    files: BTreeSet<PathBuf>,
}

impl Batch {
    fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }
}

impl Follower {
    fn run(mut self) -> Result<(), Stopped> {
        self.look(&Batch::everything())?;
        let mut scanned = Instant::now();
        loop {
            let interval = if self.lost { SEARCH } else { RESCAN };
            let mut batch = match self.signals.recv_timeout(interval.saturating_sub(scanned.elapsed())) {
                Ok(signal) => {
                    let mut batch = Batch::default();
                    if !self.note(&mut batch, signal) || !self.gather(&mut batch) {
                        return Ok(());
                    }
                    batch
                }
                Err(RecvTimeoutError::Timeout) => Batch::everything(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if self.lost {
                batch.everything = true;
                self.find_again();
            }
            if batch.everything {
                scanned = Instant::now();
            }
            if batch.everything || !batch.files.is_empty() {
                self.look(&batch)?;
            }
        }
    }

    /// Takes what else is signalled until the folder is quiet. False to stop.
    fn gather(&self, batch: &mut Batch) -> bool {
        let began = Instant::now();
        loop {
            let (quiet, patience) = if batch.removals {
                (QUIET_AFTER_REMOVAL, PATIENCE_WITH_REMOVALS)
            } else {
                (QUIET, PATIENCE)
            };
            let deadline = began + patience;
            let wait = quiet.min(deadline.saturating_duration_since(Instant::now()));
            match self.signals.recv_timeout(wait) {
                Ok(signal) => {
                    if !self.note(batch, signal) {
                        return false;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn note(&self, batch: &mut Batch, signal: Signal) -> bool {
        match signal {
            Signal::Stop => return false,
            Signal::Changed(Err(error)) => {
                tracing::warn!(%error, "the folder of manifests may have changed unseen; reading all of it");
                batch.everything = true;
            }
            Signal::Changed(Ok(event)) => {
                // Reading is no change, and our own reading least of all.
                let read =
                    matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
                if read {
                    return true;
                }
                batch.everything |= event.need_rescan();
                for path in event.paths {
                    if self.is_plain_manifest(&path) {
                        batch.removals |= !path.exists();
                        batch.files.insert(path);
                    } else {
                        batch.everything = true;
                    }
                }
            }
        }
        true
    }

    /// Whether the path can be read by itself. What else happens (folders, hidden links that kubelet swaps) may concern
    /// any file.
    fn is_plain_manifest(&self, path: &Path) -> bool {
        let hidden = path.strip_prefix(&self.root).map_or(true, |path| {
            path.components()
                .any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
        });
        !hidden && is_manifest(path) && !path.is_dir()
    }

    fn find_again(&mut self) {
        let _ = self.watcher.unwatch(&self.root);
        if let Err(error) = self.watcher.watch(&self.root, RecursiveMode::Recursive) {
            tracing::debug!(%error, "the folder of manifests is still gone");
        }
    }

    fn look(&mut self, batch: &Batch) -> Result<(), Stopped> {
        let mut events = Vec::new();
        let mut emit = |event| events.push(event);
        if batch.everything {
            self.folder.scan(&mut emit);
        } else {
            for path in &batch.files {
                self.folder.read(path, &mut emit);
            }
        }
        if !events.is_empty() {
            self.feed.blocking_send(Input::Events(events))?;
        }
        self.lost = self.folder.is_lost();
        self.board.set(Origin::Manifests, self.folder.problems());
        let doubt = self.folder.doubt();
        if self.folder.scanned() && (!self.synced || self.doubt != doubt) {
            if !self.synced {
                let (files, objects) = self.folder.size();
                tracing::info!(files, objects, ignored = self.folder.ignored(), "manifests read");
            }
            self.synced = true;
            self.doubt.clone_from(&doubt);
            self.feed.blocking_send(Input::Synced {
                source: super::NAME,
                doubt,
            })?;
        }
        Ok(())
    }
}
