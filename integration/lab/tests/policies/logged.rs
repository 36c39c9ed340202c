//! Denied packets are logged where a namespace asks for it, and told of with pods instead of addresses.

use meridian_lab::command::Cmd;
use meridian_lab::wait;
use serde_json::{Value, json};

use crate::cluster::{Cluster, object, shared};

/// What `meridian-node denied` tells of a host's log.
fn denied(cluster: &Cluster, host: &str) -> Vec<Value> {
    let plan = cluster.lab.lab.plan();
    let program = crate::common::binaries().agent();
    let program = program.unwrap_or_else(|e| panic!("{e}")).display().to_string();
    let log = plan.log(&format!("{host}/controller")).display().to_string();
    let southbound = format!("unix:{}", plan.central_run().join("ovnsb_db.sock").display());
    let args = ["denied", &log, "--southbound", &southbound, "--output", "json"];
    let told = Cmd::new(&program).args(args).run().unwrap_or_else(|e| panic!("{e}"));
    told.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn who_is_denied_is_told_by_name() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "logged";
    cluster.put_pods(ns, &[("server", "node-1"), ("client", "node-2")]);
    let (server, client) = (format!("{ns}/server"), format!("{ns}/client"));
    cluster.put(
        ns,
        "closed",
        &json!({"podSelector": {"matchLabels": {"name": "server"}}}),
    );
    cluster.from(&[&client], cluster.at(&server)).lost();
    let of_ours = || -> Vec<Value> {
        let all = denied(&cluster, "node-1").into_iter();
        all.filter(|event| event["acl"].as_str().is_some_and(|acl| acl.starts_with("logged:")))
            .collect()
    };
    assert_eq!(of_ours(), [Value::Null; 0], "nobody asked for it");
    let limit = ["--bare", "--columns=fair,unit", "find", "meter", "name=policy-log"];
    let limit = cluster
        .lab
        .lab
        .ovn("ovn-nbctl", &limit)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        limit.split_whitespace().collect::<Vec<_>>(),
        ["true", "pktps"],
        "nothing limits the log"
    );

    let metadata = json!({"name": ns, "labels": {"name": ns}, "annotations": {"meridian.dev/policy-log": "denied"}});
    cluster.apply(vec![object(
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
    )]);
    let mut events = Vec::new();
    let told = wait::until(wait::PATIENCE, || {
        cluster.from(&[&client], cluster.at(&server)).lost();
        events = of_ours();
        let has = |protocol: &str| events.iter().any(|event| event["protocol"] == protocol);
        (has("TCP") && has("UDP")).then_some(())
    });
    assert!(told.is_some(), "{events:?}");
    for event in &events {
        assert_eq!(
            (
                &event["verdict"],
                &event["direction"],
                &event["from"],
                &event["to"],
                &event["acl"]
            ),
            (
                &json!("drop"),
                &json!("ingress"),
                &json!([client]),
                &json!([server]),
                &json!("logged:name=server:ingress:isolated")
            ),
            "{event}"
        );
    }
}
