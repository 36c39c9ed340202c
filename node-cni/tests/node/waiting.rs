//! ADD when something it needs is not there: it waits, says for what, and leaves nothing when it gives up.

use serde_json::json;

use crate::support::{Agent, Call, Host, NODE, Pod, add, ready_host};

#[test]
fn a_port_that_comes_later_is_waited_for() {
    let (host, _agent) = ready_host();
    let pod = Pod::new(&host);
    let mut call = Call::on(&host, "ADD", &pod).start();
    host.await_plugin_log(&pod, "no logical port");
    assert!(call.is_running());
    pod.create_port(&host);
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
}

#[test]
fn a_port_that_never_comes_is_named_in_the_timeout() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let pod = Pod::new(&host);
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(1)).fail(11);
    let expected = format!("no logical port {} in the Southbound database yet", pod.port());
    assert!(message.contains(&expected), "{message}");
    assert_eq!(host.leftovers(), before);
    assert!(pod.eth0().is_none());
}

#[test]
fn a_port_of_another_chassis_is_told_so() {
    let (host, _agent) = ready_host();
    let pod = Pod::new(&host);
    host.create_port(&pod.port(), &pod.facts(), "n2");
    host.nbctl(&["--wait=sb", "sync"]);
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(5)).fail(11);
    assert!(message.contains(r#"is for chassis "n2", this is "n1""#), "{message}");
}

#[test]
fn a_port_of_a_pod_that_was_replaced_is_not_taken() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let mut pod = Pod::with_port(&host);
    let old = std::mem::replace(&mut pod.uid, "uid-of-the-next".to_owned());
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(1)).fail(11);
    assert!(message.contains("is of another pod UID"), "{message}");
    assert!(message.contains(&old), "{message}");
    assert_eq!(host.leftovers(), before);
    // The translator follows.
    host.create_port(&pod.port(), &pod.facts(), NODE);
    add(&host, &pod);
}

#[test]
fn an_absent_agent_is_named_in_the_timeout() {
    let host = Host::start();
    let pod = Pod::new(&host);
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(1)).fail(11);
    assert!(message.contains("node agent does not answer"), "{message}");
    assert!(message.contains(&host.path("node.sock")), "{message}");
    let left = host.leftovers();
    assert!(
        left.links.is_empty() && left.shields.is_empty() && !left.ports.contains(&pod.device()),
        "{left:?}"
    );
}

#[test]
fn an_agent_that_comes_later_is_waited_for() {
    let host = Host::start();
    host.create_network();
    let pod = Pod::with_port(&host);
    let call = Call::on(&host, "ADD", &pod).start();
    let _agent = Agent::start(&host);
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
}

#[test]
fn an_agent_that_dies_meanwhile_is_replaced_by_the_next() {
    let (host, mut agent) = ready_host();
    let pod = Pod::new(&host);
    let call = Call::on(&host, "ADD", &pod).start();
    host.await_plugin_log(&pod, "no logical port");
    agent.daemon.kill();
    let _next = Agent::start(&host);
    pod.create_port(&host);
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
}

#[test]
fn an_absent_ovn_controller_is_named_in_the_timeout() {
    let (mut host, _agent) = ready_host();
    let before = host.leftovers();
    let pod = Pod::with_port(&host);
    host.controller.take();
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(2)).fail(11);
    assert!(
        message.contains("ovn-controller has not installed the port's flows"),
        "{message}"
    );
    assert!(message.contains("ovn-controller has not claimed port"), "{message}");
    host.await_leftovers(&before);
    assert!(pod.eth0().is_none());
}

#[test]
fn an_absent_ovs_vswitchd_is_named_in_the_timeout() {
    let (mut host, _agent) = ready_host();
    let before = host.leftovers();
    let pod = Pod::with_port(&host);
    host.vswitchd.take();
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(2)).fail(11);
    assert!(message.contains("ovs-vswitchd has not made the port"), "{message}");
    host.await_leftovers(&before);
}

#[test]
fn an_unreachable_southbound_database_is_named_in_the_timeout() {
    let (mut host, _agent) = ready_host();
    let pod = Pod::new(&host);
    host.ovn_server.take();
    let message = Call::on(&host, "ADD", &pod).set("addTimeout", json!(2)).fail(11);
    assert!(message.contains("Southbound database unreachable for"), "{message}");
}
