//! A host that is rebooted: processes and network namespaces are gone, Open vSwitch's database is not.

use ovsdb::testing::eventually;

use crate::support::{Agent, Pod, add, del, ready_host};

#[test]
fn after_a_reboot_pods_start_again_and_ports_of_those_that_are_no_more_are_removed() {
    let (mut host, mut agent) = ready_host();
    let before = host.leftovers();
    let (stays, goes) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &stays);
    add(&host, &goes);
    agent.daemon.kill();
    for pod in [&stays, &goes] {
        pod.remove_netns();
    }
    host.reboot();
    // The node was another chassis before, says the database, and the pod was deleted meanwhile.
    host.vsctl(&[
        "set",
        "Open_vSwitch",
        ".",
        "external_ids:system-id=stale",
        "external_ids:hostname=stale",
    ]);
    host.delete_port(&goes.port());
    assert!(
        host.leftovers()
            .ports
            .is_superset(&[stays.device(), goes.device()].into())
    );
    host.start_vswitchd();
    host.start_controller();

    let agent = Agent::start(&host);
    host.await_leftovers(&before);
    assert!(
        agent.daemon.log().contains("removed ports whose devices are gone"),
        "{}",
        agent.daemon.log()
    );
    assert_eq!(
        host.vsctl(&["get", "Open_vSwitch", ".", "external_ids:system-id"])
            .trim(),
        "n1"
    );
    let (again, new) = (stays.resandboxed(&host), Pod::with_port(&host));
    add(&host, &again);
    add(&host, &new);
    host.await_forwarding();
    again.exchange(&new, true);
    // A runtime that kept its state ends the old sandbox in its own time.
    del(&host, &stays);
    again.exchange(&new, true);
}

#[test]
fn a_pod_that_starts_before_the_agent_does_takes_over_its_old_port() {
    let (mut host, mut agent) = ready_host();
    let before = host.leftovers();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    agent.daemon.kill();
    pod.remove_netns();
    host.reboot();
    host.start_vswitchd();
    host.start_controller();
    let again = pod.resandboxed(&host);
    let call = crate::support::Call::on(&host, "ADD", &again).start();
    let _agent = Agent::start(&host);
    let reply = call.finish();
    assert!(reply.success, "{}", reply.json);
    eventually("the old port is gone", || {
        (!host.leftovers().ports.contains(&pod.device())).then_some(())
    });
    del(&host, &again);
    host.await_leftovers(&before);
}
