//! Running programs, OVN's and ours.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs a program to its end and returns what it printed; an error carries what it complained of.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args);
    let Output { status, stdout, stderr } = command
        .output()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&stderr);
        Err(format!("{command:?}: {status}: {}", stderr.trim()))
    }
}

/// Where the build put `meridian-translator`.
pub fn translator_binary() -> PathBuf {
    binary("meridian-translator", "meridian-translator")
}

/// Where the build put `meridian-node`.
pub fn node_binary() -> PathBuf {
    binary("meridian-node", "meridian-node-cni")
}

/// Where the build put a program: beside this test, or where `MERIDIAN_BIN_DIR` says.
///
/// Cargo tells only a package's own tests where its programs are, and a test that built the
/// program itself would wait for the lock of the build it is part of.
fn binary(name: &str, package: &str) -> PathBuf {
    let folder = std::env::var_os("MERIDIAN_BIN_DIR").map_or_else(
        || {
            // target/debug/deps/this-test
            let test = std::env::current_exe().expect("a running test has a path");
            let deps = test.parent().expect("a program is in a folder");
            deps.parent().expect("deps is in a folder").to_path_buf()
        },
        PathBuf::from,
    );
    let binary = folder.join(name);
    assert!(
        binary.is_file(),
        "{} is not built: run cargo build -p {package} first (make test does), or set MERIDIAN_BIN_DIR",
        binary.display()
    );
    binary
}
