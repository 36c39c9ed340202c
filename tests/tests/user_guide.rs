//! `docs/user-guide.md` says what the programs say.

use std::collections::BTreeSet;
use std::path::Path;

use meridian_tests::{node_binary, run, translator_binary};

const GUIDE: &str = include_str!("../../docs/user-guide.md");

/// Flags of programs that are not ours.
const OTHERS: [&str; 3] = ["--bins", "--help", "--release"];

/// Everything in a text that looks like a flag.
fn flags(text: &str) -> BTreeSet<String> {
    let flag_like = |c: char| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split(|c: char| !flag_like(c))
        .filter(|word| {
            word.strip_prefix("--")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        })
        .map(str::to_owned)
        .collect()
}

fn help(program: &Path, commands: &[&str]) -> String {
    let program = program.to_string_lossy();
    let help = |command: &&str| {
        let words = command.split(' ').chain(["--help"]);
        run(&program, words).unwrap_or_else(|error| panic!("{error}"))
    };
    commands.iter().map(help).collect()
}

#[test]
fn every_flag_in_the_guide_exists() {
    let translator = help(
        &translator_binary(),
        &[
            "run",
            "render",
            "plan",
            "explain service",
            "explain pod",
            "explain path",
            "topology",
            "crds",
        ],
    );
    let node = help(&node_binary(), &["run", "status", "explain service", "uninstall"]);
    let known = flags(&(translator + &node));
    let unknown: Vec<_> = flags(GUIDE)
        .into_iter()
        .filter(|flag| !known.contains(flag) && !OTHERS.contains(&flag.as_str()))
        .collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn the_guide_tells_the_defaults_that_the_programs_have() {
    let translator = help(&translator_binary(), &["run"]);
    for default in ["127.0.0.1:9470", "unix:/var/run/ovn/ovnnb_db.sock", "10.244.0.0/16"] {
        assert!(GUIDE.contains(default) && translator.contains(default), "{default}");
    }
    let node = help(&node_binary(), &["run"]);
    for default in ["unix:/run/openvswitch/db.sock", "/opt/cni/bin", "/etc/cni/net.d"] {
        assert!(GUIDE.contains(default) && node.contains(default), "{default}");
    }
}
