//! One command at a time on a lab.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Error, Result};

/// An exclusive lock on a lab, so that two commands do not work on it at once. It lives beside
/// the lab's folder, because the folder comes and goes.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock.
    pub fn acquire(lab: &Path) -> Result<Self> {
        let path = lab.with_extension("lock");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        loop {
            let file = File::create(&path).map_err(Error::file("create", &path))?;
            file.lock().map_err(Error::file("lock", &path))?;
            // The holder before us may have removed the file with the lab.
            if same(&file, &path) {
                return Ok(Self { _file: file });
            }
        }
    }

    /// Removes the lock's file while it is held, after the lab itself is gone.
    pub fn remove(self, lab: &Path) {
        fs::remove_file(lab.with_extension("lock")).ok();
    }
}

fn same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
