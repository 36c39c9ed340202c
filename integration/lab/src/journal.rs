//! What a lab made outside its folder, written down *before* it is made: whatever happens, `down`
//! finds it. Processes are found by their mark (see [`crate::process`]), so this holds namespaces.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::netns;

/// The journal of one lab: a line per namespace.
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
        self.write(name)?;
        netns::create(name, &self.lab)
    }

    /// Everything ever written down, made or not, removed or not.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        match fs::read_to_string(&self.path) {
            // A line cut short by a crash names nothing that was made.
            Ok(text) => Ok(text
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'))
                .map(str::to_owned)
                .collect()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(Error::file("read", &self.path)(e)),
        }
    }

    fn write(&self, line: &str) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(Error::file("open", &self.path))?;
        // One write: lines of threads working side by side stay whole.
        file.write_all(format!("{line}\n").as_bytes())
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
        assert!(journal.namespaces().unwrap().is_empty());
        journal.write("mlab-a").unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join("journal"))
            .unwrap()
            .write_all(b"mlab-")
            .unwrap();
        assert_eq!(journal.namespaces().unwrap(), ["mlab-a"]);
    }
}
