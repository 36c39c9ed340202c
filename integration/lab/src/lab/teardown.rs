//! The end of a lab, whatever state it is in.
//!
//! Nothing is removed from a folder that does not carry the lab's marker: somebody may have named
//! a folder of their own.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::journal::{Item, Journal};
use crate::lock::Lock;
use crate::parallel;
use crate::process::Processes;

/// The file that makes a folder a lab's.
const MARKER: &str = ".meridian-lab";

/// Makes the folder of a lab.
pub(super) fn mark(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let marker = dir.join(MARKER);
    fs::write(&marker, "").map_err(Error::file("write", &marker))
}

/// Takes down whatever is in `dir`: a lab, the ruin of one, or nothing. With `keep_logs` the logs
/// stay.
pub fn down(dir: &Path, keep_logs: bool) -> Result<bool> {
    refuse_strangers(dir)?;
    let lock = Lock::acquire(dir)?;
    let found = dir.exists();
    clear(dir, keep_logs)?;
    lock.remove(dir);
    if let Some(root) = dir.parent() {
        // The last lab takes the common folder along; others keep it from being removed.
        fs::remove_dir(root).ok();
    }
    Ok(found)
}

/// Ends, removes and forgets; goes on after errors and tells them all.
pub(super) fn clear(dir: &Path, keep_logs: bool) -> Result<()> {
    let mut errors = Vec::new();
    if let Err(e) = Processes::of(dir).kill_all() {
        errors.push(e);
    }
    match Journal::of(dir).items() {
        Ok(items) => errors.extend(parallel::each(&items, Item::remove).err()),
        Err(e) => errors.push(e),
    }
    if errors.is_empty() {
        errors.extend(remove_files(dir, keep_logs).err());
    }
    Error::all(errors)
}

fn remove_files(dir: &Path, keep_logs: bool) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        // It goes last: what is left of an interrupted removal is still known for a lab's.
        if path.ends_with(MARKER) || keep_logs && path.file_name().is_some_and(|n| n == "log") {
            continue;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::file("remove", &path))?;
    }
    if !keep_logs {
        fs::remove_file(dir.join(MARKER)).ok();
        fs::remove_dir(dir).map_err(Error::file("remove", dir))?;
    }
    Ok(())
}

/// An empty folder may be a lab's that was killed at once; any other must carry the marker.
pub(super) fn refuse_strangers(dir: &Path) -> Result<()> {
    let empty = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if empty || dir.join(MARKER).exists() {
        return Ok(());
    }
    Err(Error::State {
        what: format!("{} holds files and is no lab's folder", dir.display()),
        next: "name another folder with --dir".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_elses_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("thesis.tex");
        fs::write(&file, "").unwrap();
        assert!(down(dir.path(), false).is_err());
        assert!(file.exists());
    }

    #[test]
    fn logs_may_stay_and_go_with_the_next_time() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("lab");
        mark(&dir).unwrap();
        fs::create_dir(dir.join("log")).unwrap();
        fs::create_dir(dir.join("cluster")).unwrap();
        clear(&dir, true).unwrap();
        assert!(dir.join("log").exists() && !dir.join("cluster").exists());
        clear(&dir, false).unwrap();
        assert!(!dir.exists());
    }
}
