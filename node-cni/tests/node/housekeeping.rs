//! CHECK, GC, STATUS, VERSION, and calls that are wrong.

use serde_json::json;

use crate::support::{Call, Host, Pod, add, ready_host, run};

#[test]
fn check_accepts_what_add_made() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    let result = add(&host, &pod);
    Call::on(&host, "CHECK", &pod).set("prevResult", result).succeed();
}

#[test]
fn check_names_each_difference() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    let result = add(&host, &pod);
    let check = || {
        Call::on(&host, "CHECK", &pod)
            .set("prevResult", result.clone())
            .fail(101)
    };
    run("ip", &["-n", &pod.netns, "route", "del", "default"]);
    assert!(check().contains("no route to 0.0.0.0/0"));
    run(
        "ip",
        &[
            "-n", &pod.netns, "-6", "addr", "flush", "dev", "eth0", "scope", "global",
        ],
    );
    assert!(check().contains("eth0 has no address fd00:10:244:1::"));
    run("ip", &["-n", &pod.netns, "link", "set", "eth0", "mtu", "1300"]);
    assert!(check().contains("eth0 has MTU 1300, not 1442"));
    run("ip", &["-n", host.name(), "link", "set", &pod.device(), "down"]);
    assert!(check().contains("of the host is down"));
    host.vsctl(&["set", "Interface", &pod.device(), "external_ids:sandbox=another"]);
    assert!(check().contains("sandbox of port"));
    host.vsctl(&["del-port", "br-int", &pod.device()]);
    assert!(check().contains("Open vSwitch has no port"));
}

#[test]
fn gc_removes_what_no_attachment_wants_and_nothing_of_others() {
    let (host, _agent) = ready_host();
    let (kept, stale, foreign) = (Pod::with_port(&host), Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &kept);
    add(&host, &stale);
    Call::on(&host, "ADD", &foreign)
        .set("name", json!("another-network"))
        .succeed();
    run(
        "ip",
        &[
            "-n",
            host.name(),
            "link",
            "add",
            "veth-other",
            "type",
            "veth",
            "peer",
            "name",
            "veth-peer",
        ],
    );
    let valid = json!([{"containerID": kept.container_id, "ifname": "eth0"}]);
    Call::new(&host, "GC").set("cni.dev/valid-attachments", valid).succeed();
    let left = host.leftovers();
    assert!(
        left.ports.contains(&kept.device()) && left.links.contains(&kept.device()),
        "{left:?}"
    );
    assert!(
        !left.ports.contains(&stale.device()) && !left.links.contains(&stale.device()),
        "{left:?}"
    );
    assert!(left.links.contains("veth-other"), "{left:?}");
    assert!(foreign.eth0().is_some() && stale.eth0().is_none());
}

#[test]
fn gc_without_a_list_removes_nothing() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    let message = Call::new(&host, "GC").fail(7);
    assert!(message.contains("cni.dev/valid-attachments"), "{message}");
    assert!(pod.eth0().is_some());
}

#[test]
fn status_tells_whether_a_pod_could_start() {
    let (mut host, mut agent) = ready_host();
    Call::new(&host, "STATUS").succeed();
    agent.daemon.kill();
    let message = Call::new(&host, "STATUS").fail(50);
    assert!(message.contains("node agent does not answer"), "{message}");
    host.ovs_server.take();
    let message = Call::new(&host, "STATUS").fail(51);
    assert!(message.contains("db.sock"), "{message}");
}

#[test]
fn status_tells_what_the_agent_misses() {
    let (mut host, agent) = ready_host();
    host.ovn_server.take();
    ovsdb::testing::eventually("the agent notices", || agent.status().filter(|status| !status.ready));
    let message = Call::new(&host, "STATUS").fail(50);
    assert!(message.contains("Southbound database"), "{message}");
}

#[test]
fn results_are_in_the_version_that_was_asked_for() {
    let (host, _agent) = ready_host();
    for (version, has_family, has_mtu) in [("0.4.0", true, false), ("1.0.0", false, false), ("1.1.0", false, true)] {
        let pod = Pod::with_port(&host);
        let result = Call::on(&host, "ADD", &pod).set("cniVersion", json!(version)).succeed();
        assert_eq!(result["cniVersion"], json!(version));
        assert_eq!(result["ips"][0].get("version").is_some(), has_family, "{result}");
        assert_eq!(result["interfaces"][1].get("mtu").is_some(), has_mtu, "{result}");
        let check = Call::on(&host, "CHECK", &pod).set("cniVersion", json!(version));
        check.set("prevResult", result).succeed();
    }
}

#[test]
fn the_configured_mtu_wins() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    Call::on(&host, "ADD", &pod).set("mtu", json!(1300)).succeed();
    assert_eq!(pod.eth0().unwrap().0.mtu, 1300);
}

#[test]
fn a_failure_to_log_keeps_no_pod_from_starting() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    Call::on(&host, "ADD", &pod)
        .set("logFile", json!("/nonexistent/folder/log"))
        .succeed();
}

#[test]
fn a_bridge_that_is_missing_is_named() {
    let mut host = Host::start();
    // It would make the bridge.
    host.controller.take();
    host.vsctl(&["--if-exists", "del-br", "br-int"]);
    let message = Call::new(&host, "STATUS").fail(51);
    assert!(message.contains("bridge br-int does not exist"), "{message}");
}
