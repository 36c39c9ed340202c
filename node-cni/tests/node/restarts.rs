//! Daemons that are restarted while a pod starts, or under running pods.

use ovsdb::testing::eventually;

use crate::support::{Call, Pod, add, del, ready_host};

#[test]
fn an_add_survives_a_restart_of_the_ovs_database() {
    let (mut host, _agent) = ready_host();
    let (pod, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &other);
    // So that the ADD is still waiting for its flows when the server goes.
    host.controller.take();
    let call = Call::on(&host, "ADD", &pod).start();
    host.await_plugin_log(&pod, "pod-configured");
    host.ovs_server.take();
    host.start_ovs_server();
    host.start_controller();
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
    pod.exchange(&other, true);
}

#[test]
fn an_add_waits_for_an_ovs_database_that_is_down() {
    let (mut host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    host.ovs_server.take();
    let mut call = Call::on(&host, "ADD", &pod).start();
    host.await_plugin_log(&pod, "facts-known");
    assert!(call.is_running());
    host.start_ovs_server();
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
}

#[test]
fn an_add_survives_a_restart_of_ovs_vswitchd() {
    let (mut host, _agent) = ready_host();
    let before = host.leftovers();
    let (pod, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &other);
    host.controller.take();
    let call = Call::on(&host, "ADD", &pod).start();
    host.await_plugin_log(&pod, "pod-configured");
    host.vswitchd.take();
    host.start_vswitchd();
    host.start_controller();
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
    host.await_forwarding();
    pod.exchange(&other, true);
    del(&host, &pod);
    del(&host, &other);
    host.await_leftovers(&before);
}

#[test]
fn deletion_waits_for_an_ovs_database_that_is_down() {
    let (mut host, _agent) = ready_host();
    let before = host.leftovers();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    host.ovs_server.take();
    let call = Call::on(&host, "DEL", &pod).start();
    host.start_ovs_server();
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
    host.await_leftovers(&before);
}

#[test]
fn a_node_without_ovn_controller_is_not_ready_for_pods() {
    let (mut host, agent) = ready_host();
    eventually("it is known", || {
        agent.status().filter(|status| status.ovn_controller == "connected")
    });
    // Killed, it leaves its chassis in the database.
    host.controller.take();
    let status = eventually("that it is gone is known", || {
        agent.status().filter(|status| !status.ready)
    });
    assert!(status.chassis_registered, "{status:?}");
    let unavailable = status.unavailable.unwrap();
    assert!(unavailable.contains("ovn-controller is not running"), "{unavailable}");
    let message = Call::new(&host, "STATUS").fail(50);
    assert!(message.contains("ovn-controller is not running"), "{message}");
    host.start_controller();
    eventually("the node is ready again", || {
        agent.status().filter(|status| status.ready)
    });
}
