//! The lab itself is killed, or the network is broken on purpose: what is left is told, finished
//! or cleared away.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Place, TestLab, possible};
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::command::Cmd;
use meridian_lab::component::{Component, Role};
use meridian_lab::plan::Families;
use meridian_lab::wait;

fn examples() -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples");
    dir.display().to_string()
}

/// Starts a command and kills it with SIGKILL some time later.
fn kill_after(place: &Place, args: &[&str], millis: u64) {
    let mut child = place.command(args).spawn().expect("meridian-lab runs");
    let deadline = Instant::now() + Duration::from_millis(millis);
    wait::until(Duration::from_secs(30), || (Instant::now() >= deadline).then_some(()));
    child.kill().expect("a child can be killed");
    child.wait().expect("a child ends");
}

fn succeed(place: &Place, args: &[&str]) -> String {
    let output = place.run(args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{errors}");
    text
}

#[test]
fn down_clears_up_after_a_lab_killed_while_meridian_started() {
    if !possible() {
        return;
    }
    for millis in [350, 450, 550, 700, 900] {
        let place = Place::new();
        kill_after(&place, &["--quiet", "up", "--dual-stack"], millis);
        succeed(&place, &["down"]);
        assert_eq!(place.remains(), Vec::<String>::new(), "killed after {millis} ms");
    }
}

#[test]
fn an_apply_killed_in_the_middle_is_finished_by_the_next() {
    if !possible() {
        return;
    }
    let place = Place::new();
    succeed(&place, &["--quiet", "up"]);
    for millis in [20, 60, 120, 200] {
        kill_after(&place, &["--quiet", "apply", "-f", &examples()], millis);
    }
    succeed(&place, &["apply", "-f", &examples()]);
    succeed(&place, &["ping"]);
    let status: serde_json::Value = serde_json::from_str(&succeed(&place, &["--json", "status"])).expect("JSON");
    assert_eq!(status["pods"].as_array().map(Vec::len), Some(9));
    succeed(&place, &["down"]);
    assert_eq!(place.remains(), Vec::<String>::new());
}

#[test]
fn a_broken_path_fails_ping_and_is_named() {
    if !possible() {
        return;
    }
    let lab = TestLab::with_examples(Families::V4);
    let victim = Sandbox::all(&lab.lab)
        .expect("sandboxes are readable")
        .into_iter()
        .find(|s| s.name == "db-0")
        .expect("the examples have db-0");
    let TestLab { lab, place } = lab;
    lab.close();
    Cmd::new("ip")
        .args(["link", "set", "eth0", "down"])
        .netns(&victim.netns)
        .run()
        .expect("a link can be set down");
    let ping = place.run(&["--json", "ping"]);
    assert!(!ping.status.success());
    let matrix: serde_json::Value = serde_json::from_slice(&ping.stdout).expect("JSON");
    let endpoints = matrix["endpoints"].as_array().expect("a list");
    let db = endpoints
        .iter()
        .position(|e| e["name"] == "shop/db-0")
        .expect("it takes part");
    let probes = matrix["probes"].as_array().expect("a list");
    for probe in probes {
        let concerned = probe["from"] == db || probe["to"] == db;
        assert_eq!(probe["error"].is_string(), concerned, "{probe}");
    }
}

#[test]
fn up_collects_the_ports_of_sandboxes_nobody_knows_any_more() {
    if !possible() {
        return;
    }
    let TestLab { lab, place } = TestLab::with_examples(Families::V4);
    let lost = Sandbox::all(&lab).expect("sandboxes are readable").remove(0);
    let host = lab.plan().host(&lost.node).expect("it is on a host");
    let ovs = Component::on(&host, Role::Vswitchd).env(lab.plan());
    let interfaces = || {
        Cmd::new("ovs-vsctl")
            .args(["--bare", "--columns=external_ids", "list", "Interface"])
            .envs(&ovs)
            .run()
            .expect("OVS answers")
    };
    assert!(interfaces().contains(&lost.container));
    // As if the record had been lost with a disk: a runtime that starts knows other sandboxes.
    let record = lab.plan().dir.join("pods").join(format!("{}.json", lost.container));
    std::fs::remove_file(record).expect("it has a record");
    lab.processes()
        .crash(&format!("pod.{}", lost.container))
        .expect("it had a server");
    lab.close();
    succeed(&place, &["up"]);
    let after = interfaces();
    assert!(!after.contains(&lost.container), "{after}");
    succeed(&place, &["ping"]);
}
