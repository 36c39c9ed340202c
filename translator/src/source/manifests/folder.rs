//! A folder of manifests as the objects it means, kept file by file.
//!
//! It remembers which file an object comes from, never the object: that is the model's. Where two
//! files define one object the first path counts, so what a folder means does not depend on the
//! order in which its files were written. Must not: watch anything, or know who reads the events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use meridian_model::{Event, Key};

use super::file::Contents;
use crate::problems::Problem;

/// A folder of manifests.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: BTreeMap<Arc<Path>, File>,
    /// Those of them with problems, so that one change does not cost a look at every file.
    troubled: BTreeSet<Arc<Path>>,
    /// The file each object comes from.
    owners: HashMap<Key, Arc<Path>>,
    /// The other files that define an object too.
    shadowed: BTreeMap<Key, BTreeSet<Arc<Path>>>,
    /// Why the folder could not be listed.
    unlisted: Option<Problem>,
    scanned: bool,
}

#[derive(Debug)]
struct File {
    stamp: Option<Stamp>,
    /// Sorted. A slice, because most files hold one object and there may be tens of thousands of them.
    keys: Box<[Key]>,
    problems: Vec<Problem>,
    ignored: usize,
    /// It could not be read in full when the folder was first scanned, nor since: what it would
    /// define may have rows that are not orphans.
    never_read: bool,
}

/// Enough of a file's metadata to tell that it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

impl Folder {
    /// A folder nothing of which has been read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            files: BTreeMap::new(),
            troubled: BTreeSet::new(),
            owners: HashMap::new(),
            shadowed: BTreeMap::new(),
            unlisted: None,
            scanned: false,
        }
    }

    /// Reads whatever is new, changed or gone anywhere in the folder; each event goes to `emit`.
    /// A folder that cannot be listed changes nothing.
    pub fn scan(&mut self, emit: &mut dyn FnMut(Event)) {
        let mut found = BTreeSet::new();
        let listed = list(&self.root, &mut found);
        let mut gone = Vec::new();
        match listed {
            Ok(()) => {
                self.unlisted = None;
                let missing = self.files.keys().filter(|path| !found.contains(&***path));
                gone.extend(missing.cloned());
            }
            Err((path, e)) => {
                self.unlisted = Some(Problem {
                    object: format!("folder/{}", path.display()),
                    field: None,
                    reason: None,
                    message: format!("{e}; nothing read from it is taken for gone"),
                    place: None,
                });
                // The first list must be a full one.
                if !self.scanned {
                    return;
                }
            }
        }
        for path in found {
            let stamp = Stamp::of(&path);
            let known = self.files.get(&*path);
            if known.is_none_or(|file| file.stamp != stamp || stamp.is_none()) {
                self.read(&path, emit);
            }
        }
        // New places first: an object that moved from one file to another is never gone.
        for path in gone {
            self.read(&path, emit);
        }
        self.scanned = true;
    }

    /// Reads one file again, or its absence.
    pub fn read(&mut self, path: &Path, emit: &mut dyn FnMut(Event)) {
        let mut pending = vec![path.to_path_buf()];
        while let Some(path) = pending.pop() {
            pending.extend(self.read_one(&path, emit));
        }
    }

    /// The files to read next, because objects they define have lost their first definition.
    fn read_one(&mut self, path: &Path, emit: &mut dyn FnMut(Event)) -> Vec<PathBuf> {
        // Before reading: a write in between is then seen as a change next time.
        let stamp = Stamp::of(path);
        let contents = Contents::read(path, self.shown(path));
        let path: Arc<Path> = match self.files.get_key_value(path) {
            Some((known, _)) => known.clone(),
            None => path.into(),
        };
        let before = self.files.remove(&path);
        let never_read = contents.incomplete && before.as_ref().map_or(!self.scanned, |file| file.never_read);
        let old = before.map(|file| file.keys).unwrap_or_default();
        let mut keys: Vec<Key> = contents.objects.keys().cloned().collect();
        let lost = old.iter().filter(|key| !contents.objects.contains_key(key));
        let mut next = Vec::new();
        if contents.incomplete {
            keys.extend(lost.cloned());
            keys.sort_unstable();
        } else {
            for key in lost {
                next.extend(self.release(key, &path, emit));
            }
        }
        for (key, object) in contents.objects {
            if self.claim(&key, &path) {
                emit(Event::Apply(object));
            }
        }
        let empty = keys.is_empty() && contents.problems.is_empty();
        if contents.problems.is_empty() {
            self.troubled.remove(&path);
        } else {
            self.troubled.insert(path.clone());
        }
        if stamp.is_some() || !empty {
            let file = File {
                stamp,
                keys: keys.into(),
                problems: contents.problems,
                ignored: contents.ignored,
                never_read,
            };
            self.files.insert(path, file);
        }
        next
    }

    /// Whether `path` is where the object comes from from now on.
    fn claim(&mut self, key: &Key, path: &Arc<Path>) -> bool {
        let Some(owner) = self.owners.get_mut(key) else {
            self.owners.insert(key.clone(), path.clone());
            return true;
        };
        if owner == path {
            return true;
        }
        let wins = path < owner;
        let loser = if wins {
            std::mem::replace(owner, path.clone())
        } else {
            path.clone()
        };
        let shadowed = self.shadowed.entry(key.clone()).or_default();
        shadowed.remove(path);
        shadowed.insert(loser);
        wins
    }

    /// `path` defines the object no more. Returns the file that defines it now.
    fn release(&mut self, key: &Key, path: &Arc<Path>, emit: &mut dyn FnMut(Event)) -> Option<PathBuf> {
        let heir = self.shadowed.get_mut(key).and_then(|shadowed| {
            if shadowed.remove(path) {
                return None;
            }
            shadowed.pop_first()
        });
        if self.shadowed.get(key).is_some_and(BTreeSet::is_empty) {
            self.shadowed.remove(key);
        }
        if self.owners.get(key) != Some(path) {
            return None;
        }
        if let Some(heir) = heir {
            self.owners.insert(key.clone(), heir.clone());
            return Some(heir.to_path_buf());
        }
        self.owners.remove(key);
        emit(Event::Delete(key.clone()));
        None
    }

    /// What is wrong in the folder now.
    pub fn problems(&self) -> Vec<Problem> {
        let conflicts = self.shadowed.iter().map(|(key, others)| {
            let first = &self.owners[key];
            let others: Vec<_> = others
                .iter()
                .map(|path| self.shown(path).display().to_string())
                .collect();
            Problem {
                object: key.to_string(),
                field: None,
                reason: None,
                message: format!(
                    "defined in {} and in {}; the first counts, remove it from the others",
                    self.shown(first).display(),
                    others.join(", ")
                ),
                place: None,
            }
        });
        self.unlisted
            .iter()
            .cloned()
            .chain(self.troubled().flat_map(|(_, file)| file.problems.clone()))
            .chain(conflicts)
            .collect()
    }

    /// Why what is missing from the folder need not be gone from the cluster, if so.
    pub fn doubt(&self) -> Option<String> {
        let unread = self.troubled().find(|(_, file)| file.never_read)?;
        Some(format!(
            "{} has not been read in full since the start",
            self.shown(unread.0).display()
        ))
    }

    fn troubled(&self) -> impl Iterator<Item = (&Arc<Path>, &File)> {
        self.troubled
            .iter()
            .filter_map(|path| Some((path, self.files.get(path)?)))
    }

    /// Whether the folder has been read once.
    pub fn scanned(&self) -> bool {
        self.scanned
    }

    /// Whether the folder could not be listed the last time.
    pub fn is_lost(&self) -> bool {
        self.unlisted.is_some()
    }

    /// Number of objects of kinds that Meridian does not use.
    pub fn ignored(&self) -> usize {
        self.files.values().map(|file| file.ignored).sum()
    }

    /// Number of files and of objects read from them.
    pub fn size(&self) -> (usize, usize) {
        (self.files.len(), self.owners.len())
    }

    fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// Whether a path is a manifest by its name. Hidden files are editors' and kubelet's business.
pub(super) fn is_manifest(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = path
        .extension()
        .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
    known && !hidden
}

fn list(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => return Err((folder.to_path_buf(), e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| (folder.to_path_buf(), e))?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            match list(&path, found) {
                // Removed between the listing and the look into it.
                Err((_, e)) if e.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        } else if is_manifest(&path) {
            found.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
