//! [`Reaper`]: a folder, and processes in it, that end with this process however that ends.
//!
//! What all tests of a binary share is never dropped, because nothing in a static is.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Waits until nobody holds its standard input any more, ends whatever works in the folder, and removes it.
const SCRIPT: &str = r#"
trap "" INT TERM HUP
cat >/dev/null
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/cwd")" = "$0" ] && kill -9 "${process#/proc/}"
done
rm -rf "$0"
"#;

#[derive(Debug)]
pub struct Reaper {
    folder: PathBuf,
    _child: Child,
}

impl Reaper {
    /// With a new folder.
    pub fn new(prefix: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir().unwrap().keep();
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            // Or whoever reads our output would wait for it.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, _child: child }
    }

    /// Processes that work here end with us.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
