//! What a lab made outside its folder, written down *before* it is made: whatever happens, `down`
//! finds it. Processes are found by their mark (see [`crate::process`]), and mounts live and end
//! with their namespaces, so this holds the rest.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::host::cgroup::Cgroup;
use crate::netns;

/// Something outside the lab's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A network namespace.
    Netns(String),
    /// A cgroup, in every hierarchy the machine has.
    Cgroup(String),
    /// A folder with everything in it.
    Folder(PathBuf),
}

impl Item {
    fn line(&self) -> String {
        match self {
            Self::Netns(name) => format!("netns {name}"),
            Self::Cgroup(name) => format!("cgroup {name}"),
            Self::Folder(path) => format!("folder {}", path.display()),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "netns" => Some(Self::Netns(rest.to_owned())),
            "cgroup" => Some(Self::Cgroup(rest.to_owned())),
            "folder" => Some(Self::Folder(rest.into())),
            _ => None,
        }
    }

    /// Removes it; what is gone already is fine.
    pub fn remove(&self) -> Result<()> {
        match self {
            Self::Netns(name) => netns::remove(name),
            Self::Cgroup(name) => Cgroup::new(name).remove(),
            Self::Folder(path) => remove_folder(path),
        }
    }
}

/// The folder above goes as well if this was the last in it.
fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::file("remove", path)(e)),
        _ => {}
    }
    if let Some(above) = path.parent() {
        fs::remove_dir(above).ok();
    }
    Ok(())
}

/// The journal of one lab: a line per thing.
#[derive(Clone, Debug)]
pub struct Journal {
    lab: PathBuf,
    path: PathBuf,
}

impl Journal {
    /// The journal of the lab in `lab`.
    pub fn of(lab: &Path) -> Self {
        Self {
            lab: lab.to_owned(),
            path: lab.join("journal"),
        }
    }

    /// Makes a namespace and has it written down first.
    pub fn create_netns(&self, name: &str) -> Result<()> {
        self.write(&Item::Netns(name.to_owned()))?;
        netns::create(name, &self.lab)
    }

    /// Makes a cgroup and has it written down first.
    pub fn create_cgroup(&self, name: &str) -> Result<()> {
        self.write(&Item::Cgroup(name.to_owned()))?;
        Cgroup::new(name).create()
    }

    /// Makes a folder, and those above it, and has it written down first.
    pub fn create_folder(&self, path: &Path) -> Result<()> {
        self.write(&Item::Folder(path.to_owned()))?;
        fs::create_dir_all(path).map_err(Error::file("create", path))
    }

    /// Everything ever written down, made or not, removed or not, each once.
    pub fn items(&self) -> Result<Vec<Item>> {
        match fs::read_to_string(&self.path) {
            // A line cut short by a crash names nothing that was made.
            Ok(text) => {
                let mut items = Vec::new();
                let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
                for item in lines.filter_map(Item::parse) {
                    if !items.contains(&item) {
                        items.push(item);
                    }
                }
                Ok(items)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::file("read", &self.path)(e)),
        }
    }

    fn write(&self, item: &Item) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(Error::file("open", &self.path))?;
        // One write: lines of threads working side by side stay whole.
        file.write_all(format!("{}\n", item.line()).as_bytes())
            .map_err(Error::file("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_short_by_a_crash_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path());
        assert!(journal.items().unwrap().is_empty());
        let netns = Item::Netns("mlab-a".into());
        journal.write(&netns).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join("journal"))
            .unwrap()
            .write_all(b"netns mlab-")
            .unwrap();
        assert_eq!(journal.items().unwrap(), [netns]);
    }
    #[test]
    fn what_was_made_twice_is_removed_once() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path());
        let items = [
            Item::Cgroup("mlab-a".into()),
            Item::Netns("mlab-a".into()),
            Item::Folder("/var/lib/a b".into()),
        ];
        for item in items.iter().chain(&items) {
            journal.write(item).unwrap();
        }
        assert_eq!(journal.items().unwrap(), items);
    }
}
