//! The program as its users see it, with a real `ovsdb-server`.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Daemon, run, stderr, stdout};
use ovsdb::testing::{OvsdbServer, eventually, northbound_schema};
use serde_json::Value;
use tempfile::TempDir;

const CLUSTER: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node-a, uid: node-a}
spec: {podCIDRs: [10.244.7.0/24]}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web, uid: u-web}
spec: {nodeName: node-a}
status: {podIPs: [{ip: 10.244.7.9}]}
";

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}, uid: u-{name}}}\nspec: {{nodeName: node-a}}\n"
    )
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn server() -> (OvsdbServer, String) {
    let server = OvsdbServer::start(&[&northbound_schema()]);
    let remote = server.unix().to_string();
    (server, remote)
}

/// The names in a table of the server, sorted.
fn names(server: &OvsdbServer, table: &str) -> Vec<String> {
    let query = format!(r#"["OVN_Northbound",{{"op":"select","table":"{table}","where":[],"columns":["name"]}}]"#);
    let answer: Value = serde_json::from_str(&server.client("transact", &[&query])).unwrap();
    let rows = answer[0]["rows"].as_array().unwrap();
    let mut names: Vec<_> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn render_shows_rows_by_table_without_a_database() {
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let output = run(&["render", "--manifests", text(dir.path())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = stdout(&output);
    for line in [
        "Logical_Switch_Port\n",
        "  shop_web  (pod/shop/web, ",
        "    addresses        \"0a:58:0a:f4:07:09 10.244.7.9\"\n",
        "    ports            mgmt-default-node-a shop_web vpc-default-node-a-router\n",
    ] {
        assert!(shown.contains(line), "{line:?} in\n{shown}");
    }
}

#[test]
fn render_prints_json_for_programs() {
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let output = run(&["render", "--manifests", text(dir.path()), "--output", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = value["rows"].as_array().unwrap();
    let web = rows.iter().find(|row| row["name"] == "shop_web").unwrap();
    assert_eq!(
        web["columns"]["addresses"]["to"],
        serde_json::json!(["0a:58:0a:f4:07:09 10.244.7.9"])
    );
    assert_eq!(web["columns"]["options"]["to"]["iface-id-ver"], "u-web");
    assert_eq!(value["problems"], serde_json::json!([]));
}

#[test]
fn render_names_what_is_wrong_and_prints_the_rest() {
    let dir = folder(&[
        ("cluster.yaml", CLUSTER),
        (
            "bad.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {nodeName: 7}\n",
        ),
    ]);
    let output = run(&["render", "--manifests", text(dir.path())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("shop_web"));
    let log = stderr(&output);
    for word in ["bad.yaml: document 1", "pod/default/x", "spec.nodeName"] {
        assert!(log.contains(word), "{word:?} in\n{log}");
    }
}

#[test]
fn render_of_a_folder_that_is_not_there_fails() {
    let output = run(&["render", "--manifests", "/nonexistent/cluster"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nonexistent/cluster"), "{}", stderr(&output));
}

/// `UPDATE_GOLDEN=1` writes the file.
#[test]
fn the_crds_of_the_chart_are_those_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/chart/meridian/crds/meridian.dev.yaml");
    let printed = stdout(&run(&["crds"]));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        kept == printed,
        "{} is stale: run this test with UPDATE_GOLDEN=1",
        path.display()
    );
}

#[test]
fn flags_that_make_no_sense_are_an_error_and_not_a_difference() {
    let output = run(&["plan", "--nonsense"]);
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["render", "--manifests", ".", "--cluster-cidr", "10.244.0.1/16"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("did you mean 10.244.0.0/16?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn plan_tells_by_its_exit_code_whether_anything_differs() {
    let (server, remote) = server();
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let plan = |extra: &[&str]| {
        run(&[
            &["plan", "--manifests", text(dir.path()), "--northbound", &remote],
            extra,
        ]
        .concat())
    };
    let output = plan(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("+ Logical_Switch_Port shop_web (pod/shop/web)"),
        "{}",
        stdout(&output)
    );
    assert!(names(&server, "Logical_Switch").is_empty(), "a plan writes nothing");
    let value: Value = serde_json::from_slice(&plan(&["--output", "json"]).stdout).unwrap();
    assert_eq!(value["counts"]["inserts"], 10);

    let daemon = Daemon::start(&["--manifests", text(dir.path()), "--northbound", &remote]);
    eventually("ready", || daemon.is_ready().then_some(()));
    // The daemon holds the lock, and a plan needs none.
    let output = plan(&[]);
    assert_eq!(
        (output.status.code(), stdout(&output)),
        (Some(0), "Nothing differs.\n".to_owned())
    );
}

#[test]
fn plan_without_a_database_fails_within_its_time() {
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let output = run(&[
        "plan",
        "--manifests",
        text(dir.path()),
        "--northbound",
        "unix:/nonexistent/db.sock",
        "--timeout",
        "1",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the northbound database is not there within 1s"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn run_follows_the_folder_and_a_restart_writes_nothing() {
    let (server, remote) = server();
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let flags = ["--manifests", text(dir.path()), "--northbound", &remote];
    let daemon = Daemon::start(&flags);
    eventually("ready", || daemon.is_ready().then_some(()));
    assert_eq!(
        names(&server, "Logical_Switch"),
        ["services-default", "vpc-default-node-a"]
    );
    fs::write(dir.path().join("b.yaml"), pod("b")).unwrap();
    let has = |name: &str| names(&server, "Logical_Switch_Port").iter().any(|port| port == name);
    eventually("port of b", || has("shop_b").then_some(()));
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    eventually("no port of b", || (!has("shop_b")).then_some(()));
    let (code, log) = daemon.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("SIGTERM: stopping"), "{log}");

    let daemon = Daemon::start(&flags);
    eventually("ready", || daemon.is_ready().then_some(()));
    for action in ["insert", "update", "delete", "link"] {
        let metric = format!("meridian_northbound_rows_written_total{{action=\"{action}\"}}");
        let (_, text) = daemon.get("/metrics").unwrap();
        assert!(!text.contains(&metric) || daemon.metric(&metric) == 0, "{text}");
    }
}

#[test]
fn status_tells_how_full_the_slices_are() {
    let (_server, remote) = server();
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let daemon = Daemon::start(&["--manifests", text(dir.path()), "--northbound", &remote]);
    let slices = || -> Option<Value> {
        let status: Value = serde_json::from_str(&daemon.get("/status")?.1).ok()?;
        status["slices"].get(0).cloned()
    };
    let expected = |used: u32| {
        let expected = serde_json::json!({"node": "node-a", "network": "10.244.7.0/24", "used": used, "capacity": 251});
        eventually("use of the slice", || slices().filter(|slice| *slice == expected));
    };
    expected(1);
    fs::write(dir.path().join("b.yaml"), pod("b")).unwrap();
    expected(2);
}

#[test]
fn sigterm_frees_the_lock_for_the_next_in_line() {
    let (_server, remote) = server();
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let flags = ["--manifests", text(dir.path()), "--northbound", &remote];
    let leader = Daemon::start(&flags);
    eventually("leading", || {
        leader.get("/readyz").filter(|(_, body)| body.contains("leader"))
    });
    let standby = Daemon::start(&flags);
    let answer = eventually("standing by", || {
        standby.get("/readyz").filter(|(_, body)| body.contains("standby"))
    });
    assert_eq!(answer.0, 200);
    assert_eq!(
        leader.metric("meridian_northbound_lock_held") + standby.metric("meridian_northbound_lock_held"),
        1
    );
    leader.terminate();
    eventually("leading", || {
        standby.get("/readyz").filter(|(_, body)| body.contains("leader"))
    });
}

#[test]
fn health_tells_why_it_is_not_ready_and_status_what_is_wrong() {
    let dir = folder(&[("cluster.yaml", CLUSTER), ("bad.yaml", "kind: [")]);
    let flags = [
        "--manifests",
        text(dir.path()),
        "--northbound",
        "unix:/nonexistent/db.sock",
    ];
    let daemon = Daemon::start(&flags);
    eventually("alive", || daemon.get("/livez").filter(|(code, _)| *code == 200));
    let (code, body) = daemon.get("/readyz").unwrap();
    assert_eq!(code, 503);
    assert!(body.starts_with("not ready: northbound database: "), "{body}");
    let status = eventually("a problem", || {
        let (_, body) = daemon.get("/status")?;
        let status: Value = serde_json::from_str(&body).unwrap();
        status["problems"].get(0).is_some().then_some(status)
    });
    assert_eq!(status["problems"][0]["object"], "file/bad.yaml");
    assert_eq!(status["state"], "connecting");
    assert_eq!(daemon.metric("meridian_problems{origin=\"manifests\"}"), 1);
}

#[test]
fn a_problem_is_logged_once_when_it_appears_and_once_when_it_goes() {
    let (_server, remote) = server();
    let dir = folder(&[("cluster.yaml", CLUSTER)]);
    let daemon = Daemon::start(&[
        "--manifests",
        text(dir.path()),
        "--northbound",
        &remote,
        "--log-format",
        "json",
    ]);
    eventually("ready", || daemon.is_ready().then_some(()));
    let problems = || daemon.metric("meridian_problems{origin=\"manifests\"}");
    fs::write(dir.path().join("bad.yaml"), "kind: [").unwrap();
    eventually("a problem", || (problems() == 1).then_some(()));
    fs::write(dir.path().join("other.yaml"), pod("other")).unwrap();
    fs::write(dir.path().join("bad.yaml"), pod("good")).unwrap();
    eventually("no problem", || (problems() == 0).then_some(()));
    let (_, log) = daemon.terminate();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about = |word: &str| lines.iter().filter(|line| line.to_string().contains(word)).count();
    assert_eq!(about("file/bad.yaml"), 2, "{log}");
    assert_eq!(about("problem solved"), 1, "{log}");
}
