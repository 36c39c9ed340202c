//! The invariants of `docs/architecture.md` that a program can check.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program's dependencies beside those for building and testing it, by package name.
fn dependencies(package: &str, flags: &[&str]) -> BTreeSet<String> {
    // `cargo tree` and not `cargo metadata`: the latter unites the features of the whole workspace,
    // and would report the runtime that only a neighbour asked for.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--package", package])
        .args(flags)
        .current_dir(root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree -p {package}: {stderr}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every Rust file somebody wrote, with its text.
fn hand_written(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "generated" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

/// A file without its unit tests and comments.
fn production(text: &str) -> String {
    let (code, _tests) = text.split_once("#[cfg(test)]\nmod ").unwrap_or((text, ""));
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn assert_none(package: &str, dependencies: &BTreeSet<String>, forbidden: &[&str]) {
    for name in forbidden {
        assert!(!dependencies.contains(*name), "{package} must not depend on {name}");
    }
}

const RUNTIMES: &[&str] = &["tokio", "futures", "rustls", "hyper", "axum"];
const KUBERNETES: &[&str] = &["kube", "kube-client", "kube-runtime", "k8s-openapi"];
const TRANSLATOR: &[&str] = &[
    "meridian-translator",
    "meridian-northbound",
    "meridian-compile",
    "meridian-model",
];

#[test]
fn model_and_compiler_know_neither_runtime_nor_kubernetes() {
    for package in ["meridian-model", "meridian-compile"] {
        let dependencies = dependencies(package, &[]);
        assert_none(package, &dependencies, RUNTIMES);
        assert_none(package, &dependencies, KUBERNETES);
    }
}

#[test]
fn the_ovsdb_client_without_features_has_no_runtime() {
    let dependencies = dependencies("ovsdb", &["--no-default-features"]);
    assert_none("ovsdb", &dependencies, RUNTIMES);
}

#[test]
fn the_node_imports_nothing_of_the_translator() {
    let dependencies = dependencies("meridian-node-cni", &[]);
    assert_none("meridian-node-cni", &dependencies, TRANSLATOR);
}

#[test]
fn the_plugin_without_the_agent_has_no_runtime_and_knows_no_kubernetes() {
    let dependencies = dependencies("meridian-node-cni", &["--no-default-features"]);
    assert_none("meridian-node-cni", &dependencies, RUNTIMES);
    assert_none("meridian-node-cni", &dependencies, KUBERNETES);
}

#[test]
fn one_file_of_the_node_knows_kubernetes_and_what_the_plugin_is_made_of_is_not_the_agent() {
    let source = root().join("node-cni/src");
    let reporter = source.join("agent/kubernetes.rs");
    for (path, text) in hand_written(&source) {
        let code = production(&text);
        // As the root of a path, or as all of it: `--kubeconfig` is a word of the command line.
        let knows = ["kube::", "kube;", "kube_", "k8s_openapi"]
            .iter()
            .any(|name| code.contains(name));
        assert_eq!(knows, path == reporter, "{}", path.display());
        // The agent's own folder and its program may name the agent; the library does to have it at all.
        let of_the_agent = path.starts_with(source.join("agent")) || path.ends_with("bin/meridian-node.rs");
        if !of_the_agent && !path.ends_with("lib.rs") {
            assert!(!code.contains("crate::agent"), "{}", path.display());
        }
    }
}

#[test]
fn what_crosses_a_boundary_depends_on_neither_side() {
    let dependencies = dependencies("meridian-api", &[]);
    assert_none("meridian-api", &dependencies, TRANSLATOR);
    assert_none("meridian-api", &dependencies, &["ovsdb", "meridian-node-cni"]);
}

#[test]
fn only_the_daemon_knows_kube() {
    let dependencies = dependencies("meridian-northbound", &[]);
    assert_none("meridian-northbound", &dependencies, KUBERNETES);
}

#[test]
fn the_ovsdb_client_knows_nothing_of_ovn() {
    // Names of tables and of Meridian's own ids; a schema's name in an example is no knowledge.
    let foreign = [
        "Logical_Switch",
        "Logical_Router",
        "Port_Binding",
        "NB_Global",
        "SB_Global",
        "meridian/",
    ];
    for (path, text) in hand_written(&root().join("ovsdb/src")) {
        let code = production(&text);
        for name in foreign {
            assert!(!code.contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn the_compiler_touches_no_clock_no_chance_and_nothing_outside() {
    let outside = [
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "std::time",
        "TcpStream",
        "UnixStream",
        "new_v4",
        "rand::",
    ];
    for folder in ["translator/model/src", "translator/compile/src"] {
        for (path, text) in hand_written(&root().join(folder)) {
            let code = production(&text);
            for name in outside {
                assert!(!code.contains(name), "{} uses {name}", path.display());
            }
        }
    }
}

#[test]
fn the_node_forks_no_ovs_tools() {
    let files = hand_written(&root().join("node-cni/src"));
    for (path, text) in files.iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        let code = production(text);
        for program in ["ovs-vsctl", "ovs-ofctl", "ovn-sbctl", "ovn-nbctl"] {
            let quoted = format!("\"{program}\"");
            assert!(!code.contains(&quoted), "{} runs {program}", path.display());
        }
    }
}

#[test]
fn no_test_sleeps() {
    let is_test = |path: &Path| path.components().any(|component| component.as_os_str() == "tests");
    for (path, text) in hand_written(&root()) {
        // As a deadline beside what is awaited it is no sleep.
        let sleeps =
            |line: &str| line.contains("thread::sleep(") || (line.contains("sleep(") && line.contains(").await"));
        // This file is the only one that has to name it.
        if is_test(&path) && !path.ends_with("architecture.rs") {
            assert!(!text.lines().any(sleeps), "{} sleeps", path.display());
        }
    }
}

#[test]
fn files_stay_small_enough_to_read() {
    let mut lengths: Vec<(usize, PathBuf)> = hand_written(&root())
        .into_iter()
        .map(|(path, text)| (text.lines().count(), path))
        .collect();
    lengths.sort();
    let (longest, path) = lengths.last().unwrap();
    assert!(*longest <= 900, "{} has {longest} lines", path.display());
    let (median, _) = lengths[lengths.len() / 2];
    assert!(median < 400, "half of the files have {median} lines or more");
}
