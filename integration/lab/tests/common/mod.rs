//! A lab of a test's own, gone with the test, also when that fails.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::print_stderr, reason = "what a failed test has to say")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use meridian_lab::binaries::Binaries;
use meridian_lab::cluster::object::Object;
use meridian_lab::cluster::{self, store::Store};
use meridian_lab::component::Component;
use meridian_lab::lab::{self, Lab};
use meridian_lab::plan::{Families, Options};
use meridian_lab::probe::matrix::{self, Matrix};
use meridian_lab::probe::table;
use meridian_lab::process::Processes;
use meridian_lab::ui::Ui;
use meridian_lab::wait;

/// How long the network may take to be whole again after something was killed, on a busy machine.
pub(crate) const RECOVERY: Duration = Duration::from_mins(1);

/// Root and namespaces, or the test cannot run; where they are required their lack is a failure.
pub(crate) fn possible() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(
        root || std::env::var_os("REQUIRE_ROOT_TESTS").is_none(),
        "this test makes network namespaces and needs root"
    );
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// What the tests of a program share, if it can be: made by the first that asks, gone with the last.
pub(crate) fn share<T>(shared: &'static Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Option<Arc<T>> {
    if !possible() {
        return None;
    }
    // A test that could not bring it up leaves it to the next.
    let mut held = shared.lock().unwrap_or_else(|poisoned| {
        shared.clear_poison();
        poisoned.into_inner()
    });
    Some(held.upgrade().unwrap_or_else(|| {
        let made = Arc::new(start());
        *held = Arc::downgrade(&made);
        made
    }))
}

/// A lab's place and name, taken down on drop.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Path::new(lab::ROOT).join(&name);
        Self { name, dir }
    }

    pub(crate) fn options(&self, families: Families, bare: bool) -> Options {
        Options {
            name: self.name.clone(),
            hosts: 3,
            families,
            bare,
            kubernetes: None,
        }
    }

    /// The command, on this lab.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian-lab"));
        command.args(["--name", &self.name]).args(args);
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("meridian-lab runs")
    }

    /// Everything of this lab that is there now.
    pub(crate) fn remains(&self) -> Vec<String> {
        let mut remains = Vec::new();
        for path in [self.dir.clone(), self.dir.with_extension("lock")] {
            if path.exists() {
                remains.push(path.display().to_string());
            }
        }
        let prefix = format!("mlab-{}-", self.name);
        for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&prefix) {
                remains.push(name);
            }
        }
        let processes = Processes::of(&self.dir).marked();
        remains.extend(processes.iter().map(|p| format!("process {}", p.pid)));
        remains
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.dir.join("log/central"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let tail = meridian_lab::error::LogTail::of(&entry.path());
                eprintln!("{tail}");
            }
        }
        if let Err(e) = lab::down(&self.dir, false) {
            eprintln!("{}: {e}", self.name);
        }
    }
}

/// A whole lab with Meridian on it.
#[derive(Debug)]
pub(crate) struct TestLab {
    // Declared first, dropped first: the lab's lock before its place.
    pub(crate) lab: Lab,
    pub(crate) place: Place,
}

/// Meridian's programs: where we were told, else where Cargo put ours.
pub(crate) fn binaries() -> Binaries {
    if let Some(dir) = std::env::var_os("MERIDIAN_BIN_DIR") {
        return Binaries::in_dir(dir);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_meridian-lab"));
    Binaries::in_dir(program.parent().expect("a program lies in a folder"))
}

impl TestLab {
    pub(crate) fn up(families: Families) -> Self {
        let place = Place::new();
        let (lab, _) = Lab::up(
            &place.dir,
            place.options(families, false),
            None,
            binaries(),
            Ui::stderr(),
        )
        .unwrap_or_else(|e| panic!("up: {e}"));
        Self { lab, place }
    }

    /// With the examples of the repository.
    pub(crate) fn with_examples(families: Families) -> Self {
        let lab = Self::up(families);
        lab.apply_examples();
        lab
    }

    pub(crate) fn apply_examples(&self) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples");
        let objects = cluster::read_manifests(&dir).unwrap_or_else(|e| panic!("{e}"));
        cluster::apply(&self.lab, objects).unwrap_or_else(|e| panic!("apply: {e}"));
    }

    pub(crate) fn pods(&self) -> Vec<Object> {
        Store::of(&self.lab.plan().dir)
            .list("Pod")
            .expect("the store is readable")
    }

    pub(crate) fn pod(&self, name: &str) -> Option<Object> {
        self.pods().into_iter().find(|p| p.name() == name)
    }

    pub(crate) fn matrix(&self) -> Matrix {
        matrix::run(cluster::endpoints(&self.lab).expect("sandboxes are readable"))
    }

    /// Every packet arrives, now.
    pub(crate) fn assert_all_reach_all(&self) -> Matrix {
        let matrix = self.matrix();
        assert!(
            matrix.failures().next().is_none() && !matrix.probes.is_empty(),
            "{}",
            table::render(&matrix, Ui::quiet())
        );
        matrix
    }

    /// Every packet arrives, sooner or later.
    pub(crate) fn await_all_reach_all(&self, after: &str) {
        let mut last = String::new();
        let whole = wait::until(RECOVERY, || {
            let matrix = self.matrix();
            if matrix.failures().next().is_none() {
                return Some(());
            }
            last = table::render(&matrix, Ui::quiet());
            None
        });
        assert!(whole.is_some(), "after {after}:\n{last}");
    }

    /// Kills with SIGKILL and starts again, one by one.
    pub(crate) fn crash(&self, component: &str) {
        for component in Component::select(self.lab.plan(), component).expect("a component") {
            self.lab.processes().crash(&component.pid_name()).expect("it dies");
            self.lab
                .start(&component)
                .unwrap_or_else(|e| panic!("{component}: {e}"));
        }
    }

    /// Names of the logical switch ports.
    pub(crate) fn logical_ports(&self) -> Vec<String> {
        let args = ["--bare", "--columns=name", "list", "Logical_Switch_Port"];
        let text = self.lab.ovn("ovn-nbctl", &args).expect("NB answers");
        text.split_whitespace().map(str::to_owned).collect()
    }
}
