//! A lab comes and goes, and leaves nothing however it ended. These need no Meridian: OVN and
//! Open vSwitch alone.

mod common;

use std::time::{Duration, Instant};

use common::{Place, binaries, possible};
use meridian_lab::lab::{Lab, Upped};
use meridian_lab::plan::Families;
use meridian_lab::ui::Ui;
use meridian_lab::{netns, wait};

fn text(output: &std::process::Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn down_leaves_nothing() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let up = place.run(&["up", "--bare"]);
    assert!(up.status.success(), "{}", text(&up));
    assert!(place.remains().len() > 10, "five namespaces and a dozen processes");
    let down = place.run(&["down"]);
    assert!(down.status.success(), "{}", text(&down));
    assert_eq!(place.remains(), Vec::<String>::new());
}

#[test]
fn nothing_appears_in_the_machines_own_namespace() {
    if !possible() {
        return;
    }
    let interfaces = || {
        let mut names: Vec<_> = std::fs::read_dir("/sys/class/net")
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = interfaces();
    let place = Place::new();
    assert!(place.run(&["up", "--bare"]).status.success());
    assert_eq!(interfaces(), before);
}

/// The moments differ from run to run, which is the point: whatever was made must be found.
#[test]
fn down_clears_up_after_a_lab_that_was_killed_in_the_middle_of_up() {
    if !possible() {
        return;
    }
    for millis in [5, 30, 60, 90, 120, 160, 200, 250, 300, 400] {
        let place = Place::new();
        let mut up = place.command(&["--quiet", "up", "--bare"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_millis(millis);
        wait::until(Duration::from_secs(5), || (Instant::now() >= deadline).then_some(()));
        up.kill().unwrap();
        up.wait().unwrap();
        let down = place.run(&["down"]);
        assert!(down.status.success(), "killed after {millis} ms: {}", text(&down));
        assert_eq!(place.remains(), Vec::<String>::new(), "killed after {millis} ms");
    }
}

#[test]
fn up_clears_away_what_a_killed_up_left() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let mut up = place.command(&["--quiet", "up", "--bare"]).spawn().unwrap();
    let fabric = format!("mlab-{}-fabric", place.name);
    wait::for_some("the first namespace", wait::PATIENCE, || {
        netns::exists(&fabric).then_some(())
    })
    .unwrap();
    up.kill().unwrap();
    up.wait().unwrap();
    let again = place.run(&["up", "--bare"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(
        text(&again).contains("remains of an unfinished lab"),
        "{}",
        text(&again)
    );
    assert!(place.run(&["status"]).status.success());
}

#[test]
fn a_second_up_changes_nothing_and_starts_what_had_ended() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let options = place.options(Families::V4, true);
    let up = || Lab::up(&place.dir, options.clone(), None, binaries(), Ui::quiet()).unwrap();
    assert_eq!(up().1, Upped::Built);
    let (lab, second) = up();
    assert_eq!(second, Upped::Reused(0));
    let northd = lab.processes().recorded("central.northd").unwrap();
    lab.processes().crash("central.northd").unwrap();
    drop(lab);
    let (lab, third) = up();
    assert_eq!(third, Upped::Reused(1));
    assert_ne!(lab.processes().running("central.northd").unwrap(), northd);
}

#[test]
fn other_options_for_a_running_lab_are_refused_with_the_next_step() {
    if !possible() {
        return;
    }
    let place = Place::new();
    assert!(place.run(&["up", "--bare"]).status.success());
    let other = place.run(&["up", "--bare", "--hosts", "2"]);
    assert!(!other.status.success());
    assert!(text(&other).contains("next: meridian-lab down"), "{}", text(&other));
}

#[test]
fn status_fails_and_says_which_daemon_ended() {
    if !possible() {
        return;
    }
    let place = Place::new();
    assert!(place.run(&["up", "--bare"]).status.success());
    assert!(place.run(&["status"]).status.success());
    assert!(place.run(&["kill", "node-2/vswitchd"]).status.success());
    let status = place.run(&["--json", "status"]);
    assert!(!status.status.success());
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let ended: Vec<_> = status["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["running"] == false)
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(ended, ["node-2/vswitchd"]);
}

#[test]
fn a_command_without_a_lab_says_what_to_do_and_leaves_nothing() {
    if !possible() {
        return;
    }
    let place = Place::new();
    let status = place.run(&["status"]);
    assert!(!status.status.success());
    assert!(text(&status).contains("next: meridian-lab up"), "{}", text(&status));
    assert_eq!(place.remains(), Vec::<String>::new());
}
