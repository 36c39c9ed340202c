//! What a lab's folder says about it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::Datapath;
use crate::plan::Options;

/// What is kept of a lab: enough to work on it from another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) options: Options,
    /// Which hosts there are, by index.
    pub(super) hosts: BTreeSet<u8>,
    pub(super) datapath: Datapath,
    /// Set at the end of `up`: without it the lab is a ruin, to be cleared away.
    pub(super) complete: bool,
}

impl State {
    /// Writes it, whole or not at all.
    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        let path = state_path(dir);
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        let new = path.with_extension("new");
        fs::write(&new, text).map_err(Error::file("write", &new))?;
        fs::rename(&new, &path).map_err(Error::file("replace", &path))
    }

    /// Reads it; a folder that is no lab's has none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = state_path(dir);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Malformed {
                path,
                reason: e.to_string(),
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file("read", &path)(e)),
        }
    }
}

fn state_path(dir: &Path) -> PathBuf {
    dir.join("lab.json")
}
