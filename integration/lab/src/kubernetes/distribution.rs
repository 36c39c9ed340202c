//! The parts a cluster is made of: programs and images, built by `integration/kubernetes/build` or
//! given, and Meridian's chart.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::command::Cmd;
use crate::error::{Error, Result};

/// Names the folder of programs and images; without it they are built.
const GIVEN: &str = "MERIDIAN_KUBE_BIN";
/// What builds them, in a checkout.
const BUILD: &str = "integration/kubernetes/build";
/// What tells a checkout: this crate.
const LAB: &str = "integration/lab/Cargo.toml";
/// Meridian's chart, in a checkout.
const CHART: &str = "manifests/chart/meridian";

/// Programs the lab runs of a distribution.
const PROGRAMS: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
    "helm",
];

/// Where the parts of a cluster are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Holds `bin` and `images`.
    pub dir: PathBuf,
    /// Meridian's Helm chart.
    pub chart: PathBuf,
}

impl Distribution {
    /// The parts of the checkout this program was built in; those that are not there are built,
    /// which takes minutes the first time and tells its progress on standard error.
    pub fn find() -> Result<Self> {
        let checkout = checkout()?;
        let dir = match std::env::var_os(GIVEN) {
            Some(dir) => std::path::absolute(&dir).map_err(Error::file("find", Path::new(&dir)))?,
            None => build(&checkout)?,
        };
        Ok(Self {
            dir,
            chart: checkout.join(CHART),
        })
    }

    /// Whether all of it is there.
    pub fn check(&self) -> Result<()> {
        let missing: Vec<_> = PROGRAMS
            .into_iter()
            .filter(|name| !self.program(name).is_file())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Machine {
            what: format!("{} lacks {}", self.bin_dir().display(), missing.join(", ")),
            next: format!("{BUILD} cluster, or name a complete folder with {GIVEN}"),
        })
    }

    /// Where the programs are.
    pub fn bin_dir(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// A program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir().join(name)
    }

    /// The images of pods, as archives.
    pub fn images(&self) -> Result<Vec<PathBuf>> {
        let dir = self.dir.join("images");
        let entries = std::fs::read_dir(&dir).map_err(Error::file("list", &dir))?;
        let mut files: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "tar"))
            .collect();
        files.sort();
        Ok(files)
    }

    /// The full name of an image given the name without its tag.
    pub fn image(&self, name: &str) -> Result<String> {
        let mut seen = Vec::new();
        for archive in self.images()? {
            let index = Cmd::new("tar")
                .args(["--extract", "--to-stdout", "--file"])
                .arg(&archive)
                .arg("index.json")
                .run()?;
            let index: serde_json::Value = serde_json::from_str(&index).map_err(|e| Error::Malformed {
                path: archive.clone(),
                reason: e.to_string(),
            })?;
            for manifest in index["manifests"].as_array().into_iter().flatten() {
                let full = manifest["annotations"]["io.containerd.image.name"].as_str();
                let full = full.unwrap_or_default();
                if full
                    .rsplit_once(':')
                    .is_some_and(|(without_tag, _)| without_tag == name)
                {
                    return Ok(full.to_owned());
                }
                seen.push(full.to_owned());
            }
        }
        Err(Error::Machine {
            what: format!("{} has no image {name}, but {}", self.dir.display(), seen.join(", ")),
            next: "integration/kubernetes/build cluster".into(),
        })
    }
}

/// The folder with Meridian's sources: above the running program, or around the working directory.
fn checkout() -> Result<PathBuf> {
    let places = [std::env::current_exe(), std::env::current_dir()];
    places
        .iter()
        .flatten()
        .flat_map(|place| place.ancestors())
        .find(|dir| dir.join(LAB).is_file())
        .map(Path::to_owned)
        .ok_or_else(|| Error::Machine {
            what: format!("no {LAB} above this program or the working directory"),
            next: "run it in a checkout of Meridian".into(),
        })
}

fn build(checkout: &Path) -> Result<PathBuf> {
    let program = checkout.join(BUILD);
    let line = format!("{} cluster", program.display());
    let output = Command::new(&program)
        .arg("cluster")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Spawn {
            command: line.clone(),
            source,
        })?;
    if !output.status.success() {
        return Err(Error::Command {
            command: line,
            status: output.status.to_string(),
            output: "what it said is above".into(),
        });
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
