//! The plugin killed with SIGKILL at every step: what comes next finds and mends what it left.

use serde_json::json;

use crate::support::{ADD_STEPS, Call, Pod, add, del, ready_host};

#[test]
fn an_add_after_a_killed_add_succeeds() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let other = Pod::with_port(&host);
    add(&host, &other);
    for step in ADD_STEPS {
        let pod = Pod::with_port(&host);
        Call::on(&host, "ADD", &pod).pausing_at(step).start().kill_at_pause();
        add(&host, &pod);
        pod.exchange(&other, true);
        del(&host, &pod);
    }
    del(&host, &other);
    host.await_leftovers(&before);
}

#[test]
fn a_del_after_a_killed_add_leaves_nothing() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    for step in ADD_STEPS {
        let pod = Pod::with_port(&host);
        Call::on(&host, "ADD", &pod).pausing_at(step).start().kill_at_pause();
        // The kubelet gives up on the sandbox.
        pod.remove_netns();
        del(&host, &pod);
        host.await_leftovers(&before);
    }
}

#[test]
fn gc_after_killed_adds_leaves_the_living_only() {
    let (host, _agent) = ready_host();
    let (one, two) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &one);
    add(&host, &two);
    let before = host.leftovers();
    let killed: Vec<Pod> = ADD_STEPS
        .iter()
        .map(|step| {
            let pod = Pod::with_port(&host);
            Call::on(&host, "ADD", &pod).pausing_at(step).start().kill_at_pause();
            pod
        })
        .collect();
    let valid = json!([
        {"containerID": one.container_id, "ifname": "eth0"},
        {"containerID": two.container_id, "ifname": "eth0"},
    ]);
    Call::new(&host, "GC").set("cni.dev/valid-attachments", valid).succeed();
    host.await_leftovers(&before);
    one.exchange(&two, true);
    drop(killed);
}

#[test]
fn a_del_after_a_killed_del_leaves_nothing() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    for step in ["port-removed", "veth-removed"] {
        let pod = Pod::with_port(&host);
        add(&host, &pod);
        Call::on(&host, "DEL", &pod).pausing_at(step).start().kill_at_pause();
        del(&host, &pod);
        host.await_leftovers(&before);
    }
}

#[test]
fn a_new_sandbox_is_not_hindered_by_a_killed_one() {
    let (host, _agent) = ready_host();
    let other = Pod::with_port(&host);
    add(&host, &other);
    for step in ADD_STEPS {
        let old = Pod::with_port(&host);
        Call::on(&host, "ADD", &old).pausing_at(step).start().kill_at_pause();
        let new = old.resandboxed(&host);
        add(&host, &new);
        new.exchange(&other, true);
    }
}
