//! The plugin as a program, without root: what it answers to calls that are wrong or go no further than a question.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Calls the plugin; yields whether it succeeded, and its standard output as JSON.
fn call(variables: &[(&str, &str)], input: &str) -> (bool, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meridian-cni"))
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap()
    };
    (output.status.success(), value)
}

fn refused(variables: &[(&str, &str)], input: &str) -> (u64, String) {
    let (success, error) = call(variables, input);
    assert!(!success, "{error}");
    (
        error["code"].as_u64().unwrap(),
        error["msg"].as_str().unwrap().to_owned(),
    )
}

fn add(netns: &str) -> Vec<(&str, &str)> {
    vec![
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", netns),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_UID=u1"),
    ]
}

fn config(folder: &Path) -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "meridian",
        "type": "meridian-cni",
        "ovsSocket": folder.join("db.sock"),
        "agentSocket": folder.join("node.sock"),
        "addTimeout": 1,
        "timeout": 1,
    })
}

/// A network namespace that is not this test's, whether it runs as root or not.
fn foreign_netns(folder: &Path) -> String {
    let path = folder.join("netns");
    std::fs::write(&path, "").unwrap();
    path.display().to_string()
}

/// An agent that gives one connection these lines, and yields what it was asked.
fn agent(folder: &Path, lines: &'static [&'static str]) -> std::thread::JoinHandle<String> {
    let listener = UnixListener::bind(folder.join("node.sock")).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream.try_clone().unwrap())
            .read_line(&mut request)
            .unwrap();
        for line in lines {
            writeln!(stream, "{line}").unwrap();
        }
        // Open until the plugin has had enough.
        let _ = BufReader::new(stream).read_line(&mut String::new());
        request
    })
}

#[test]
fn garbage_on_standard_input_is_located() {
    for garbage in ["", "garbage", "{\"cniVersion\":\"1.1.0\",\n  oops}"] {
        let (code, message) = refused(&add("/run/netns/x"), garbage);
        assert_eq!(code, 6, "{message}");
        assert!(message.contains("line") && message.contains("column"), "{message}");
    }
}

#[test]
fn bytes_that_are_no_text_are_a_decoding_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meridian-cni"))
        .env_clear()
        .env("CNI_COMMAND", "STATUS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&[0xff, 0xfe, 0, 1]).unwrap();
    let output = child.wait_with_output().unwrap();
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(error["code"], json!(6));
}

#[test]
fn an_unknown_version_is_refused_and_the_known_are_listed() {
    let (success, error) = call(&add("/run/netns/x"), r#"{"cniVersion":"0.2.0","name":"m"}"#);
    assert!(!success);
    assert_eq!(error["code"], json!(1));
    assert_eq!(error["details"], json!("supported: 0.4.0, 1.0.0, 1.1.0"));
}

#[test]
fn missing_parameters_are_all_named() {
    let (code, message) = refused(&[("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "eth0")], "{}");
    assert_eq!(code, 4);
    assert!(message.contains("CNI_CONTAINERID, CNI_NETNS"), "{message}");
    assert_eq!(refused(&[], "{}").0, 4);
}

#[test]
fn an_add_without_a_pod_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut variables = add("/run/netns/x");
    variables.retain(|(name, _)| *name != "CNI_ARGS");
    let (code, message) = refused(&variables, &config(folder.path()).to_string());
    assert_eq!(code, 4);
    assert!(message.contains("K8S_POD_NAME"), "{message}");
}

#[test]
fn version_answers_whatever_the_configuration_is() {
    for (input, echoed) in [(r#"{"cniVersion":"1.0.0"}"#, "1.0.0"), ("", "1.1.0")] {
        let (success, versions) = call(&[("CNI_COMMAND", "VERSION")], input);
        assert!(success);
        assert_eq!(versions["cniVersion"], json!(echoed));
        assert_eq!(versions["supportedVersions"], json!(["0.4.0", "1.0.0", "1.1.0"]));
    }
}

#[test]
fn errors_are_in_the_version_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config["cniVersion"] = json!("0.4.0");
    let (_, error) = call(&[("CNI_COMMAND", "STATUS")], &config.to_string());
    assert_eq!((&error["cniVersion"], &error["code"]), (&json!("0.4.0"), &json!(1)));
    assert!(error["msg"].as_str().unwrap().contains("from CNI 1.1.0 on"), "{error}");
}

#[test]
fn the_plugins_own_network_namespace_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (code, message) = refused(&add("/proc/self/ns/net"), &config(folder.path()).to_string());
    assert_eq!(code, 4);
    assert!(message.contains("host's own"), "{message}");
}

#[test]
fn the_agent_is_asked_for_the_port_and_its_last_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(
        folder.path(),
        &[
            r#"{"waiting":{"reason":"first"}}"#,
            r#"{"waiting":{"reason":"port is for chassis \"n9\""}}"#,
        ],
    );
    let (code, message) = refused(&add(&foreign_netns(folder.path())), &config(folder.path()).to_string());
    assert_eq!((code, message.as_str()), (11, "port is for chassis \"n9\""));
    let request: Value = serde_json::from_str(&agent.join().unwrap()).unwrap();
    assert_eq!(request, json!({"port": "ns_pod", "uid": "u1", "sandbox": "c1"}));
}

#[test]
fn a_port_prefix_of_the_configuration_is_part_of_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(folder.path(), &[r#"{"error":{"message":"no"}}"#]);
    let mut config = config(folder.path());
    config["portPrefix"] = json!("blue.");
    refused(&add(&foreign_netns(folder.path())), &config.to_string());
    let request: Value = serde_json::from_str(&agent.join().unwrap()).unwrap();
    assert_eq!(request["port"], json!("blue.ns_pod"));
}

#[test]
fn an_agent_that_talks_nonsense_is_reported_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(folder.path(), &["HTTP/1.1 400 Bad Request"]);
    let input = config(folder.path()).to_string();
    let (success, error) = call(&add(&foreign_netns(folder.path())), &input);
    assert!(!success);
    assert_eq!(error["code"], json!(100));
    assert_eq!(error["details"], json!("HTTP/1.1 400 Bad Request"));
    agent.join().unwrap();
}

#[test]
fn status_without_open_vswitch_tells_limited_connectivity() {
    let folder = tempfile::tempdir().unwrap();
    let (code, message) = refused(&[("CNI_COMMAND", "STATUS")], &config(folder.path()).to_string());
    assert_eq!(code, 51);
    assert!(message.contains("db.sock"), "{message}");
}

#[test]
fn the_plugin_uses_no_async_runtime_and_no_other_program() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.join("plugin"), source.join("cni"), source.join("netlink")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            files.push(entry.unwrap().path());
        }
    }
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["tokio", "async fn", "Command::new"] {
            let production = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            assert!(!production.contains(word), "{} has {word:?}", file.display());
        }
    }
}

#[test]
fn a_person_is_told_what_this_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_meridian-cni"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("a CNI plugin"));
}
