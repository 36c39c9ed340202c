//! Where Meridian's own programs are: beside the lab's, unless told otherwise.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folder with Meridian's programs.
#[derive(Clone, Debug)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// The given folder.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder of the running program; a test's is one below.
    pub fn beside_us() -> Result<Self> {
        let exe = std::env::current_exe().map_err(Error::file("find", Path::new("/proc/self/exe")))?;
        let dir = exe.parent().unwrap_or(Path::new("/"));
        let dir = match dir.file_name() {
            Some(name) if name == "deps" => dir.parent().unwrap_or(dir),
            _ => dir,
        };
        Ok(Self::in_dir(dir))
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether all of them are there.
    pub fn check(&self) -> Result<()> {
        for path in [self.translator(), self.agent(), self.cni(), self.lab()] {
            path?;
        }
        Ok(())
    }

    /// meridian-translator.
    pub fn translator(&self) -> Result<PathBuf> {
        self.find("meridian-translator")
    }

    /// meridian-node.
    pub fn agent(&self) -> Result<PathBuf> {
        self.find("meridian-node")
    }

    /// meridian-cni.
    pub fn cni(&self) -> Result<PathBuf> {
        self.find("meridian-cni")
    }

    /// meridian-lab itself, whose `serve` is what runs in pods.
    pub fn lab(&self) -> Result<PathBuf> {
        self.find("meridian-lab")
    }

    fn find(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::Machine {
            what: format!("no {name} in {}", self.dir.display()),
            next: "cargo build --workspace --bins, or name the folder with --bin-dir".into(),
        })
    }
}
