//! Pods with further interfaces, each by a call of its own.

use ovsdb::testing::eventually;
use serde_json::json;

use crate::support::vpc::Slice;
use crate::support::{ADD_STEPS, Agent, Further, Host, Pod, add, del, ready_host, run};

fn ready() -> (Host, Agent) {
    let (host, agent) = ready_host();
    host.create_slice(Slice::GREEN);
    (host, agent)
}

#[test]
fn two_pods_talk_in_two_networks_and_leave_no_trace() {
    let (host, _agent) = ready();
    let before = host.leftovers();
    let (one, two) = (Pod::with_port(&host), Pod::with_port(&host));
    let further = [
        Further::with_port(&host, &one, "net1", Slice::GREEN, 10),
        Further::with_port(&host, &two, "storage0", Slice::GREEN, 11),
    ];
    let mut results = Vec::new();
    for of_pod in &further {
        let first = add(&host, of_pod.pod);
        results.push((first, of_pod.call(&host, "ADD").succeed()));
    }
    host.await_forwarding();
    for v4 in [true, false] {
        one.exchange(&two, v4);
        further[0].exchange(&further[1], v4);
        further[1].exchange(&further[0], v4);
    }
    let routes = run("ip", &["-n", &one.netns, "route"]);
    assert!(routes.contains("default via 10.244.1.1 dev eth0"), "{routes}");
    assert!(routes.contains("10.9.0.0/16 via 10.9.1.1 dev net1"), "{routes}");
    assert_eq!(routes.matches("default").count(), 1, "{routes}");

    let of_net1 = &results[0].1;
    assert_eq!(of_net1["interfaces"][1]["name"], json!("net1"));
    assert_eq!(of_net1["ips"][0]["address"], json!("10.9.1.10/24"));
    assert!(of_net1["ips"][0].get("gateway").is_none(), "{of_net1}");
    let id = host.vsctl(&["get", "Interface", &further[0].device(), "external_ids:iface-id"]);
    assert_eq!(id.trim().trim_matches('"'), format!("default_{}@net1", one.name));

    for (of_pod, (first, second)) in further.iter().zip(results) {
        crate::support::Call::on(&host, "CHECK", of_pod.pod)
            .set("prevResult", first)
            .succeed();
        of_pod.call(&host, "CHECK").set("prevResult", second).succeed();
    }
    for of_pod in &further {
        of_pod.call(&host, "DEL").succeed();
        assert!(of_pod.pod.eth0().is_some());
    }
    one.exchange(&two, true);
    del(&host, &one);
    del(&host, &two);
    host.await_leftovers(&before);
}

#[test]
fn the_first_interface_works_without_the_further_one_whose_call_says_what_is_missing() {
    let (host, _agent) = ready();
    let (pod, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &other);
    add(&host, &pod);
    let before = host.leftovers();
    let net1 = Further::new(&pod, "net1", Slice::GREEN, 10);
    let message = net1.call(&host, "ADD").set("addTimeout", json!(1)).fail(11);
    assert!(
        message.contains(&format!("no logical port default_{}@net1", pod.name)),
        "{message}"
    );
    host.await_leftovers(&before);
    pod.exchange(&other, true);
    net1.create_port(&host);
    net1.call(&host, "ADD").succeed();
}

#[test]
fn check_names_what_is_wrong_with_a_further_interface() {
    let (host, _agent) = ready();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    let net1 = Further::with_port(&host, &pod, "net1", Slice::GREEN, 10);
    let result = net1.call(&host, "ADD").succeed();
    let check = || net1.call(&host, "CHECK").set("prevResult", result.clone()).fail(101);
    run("ip", &["-n", &pod.netns, "route", "del", "10.9.0.0/16"]);
    assert!(check().contains("no route to 10.9.0.0/16"));
    run("ip", &["-n", &pod.netns, "link", "set", "net1", "down"]);
    assert!(check().contains("net1 is down"));
    host.vsctl(&["set", "Interface", &net1.device(), "external_ids:iface-id=another"]);
    assert!(check().contains("iface-id of port"));
}

#[test]
fn a_new_sandbox_takes_each_interface_over_and_the_old_ones_calls_do_not_hurt_it() {
    let (host, _agent) = ready();
    let (old, other) = (Pod::with_port(&host), Pod::with_port(&host));
    let net1 = Further::with_port(&host, &old, "net1", Slice::GREEN, 10);
    let of_other = Further::with_port(&host, &other, "net1", Slice::GREEN, 11);
    for further in [&net1, &of_other] {
        add(&host, further.pod);
        further.call(&host, "ADD").succeed();
    }
    let new = old.resandboxed(&host);
    let new_net1 = net1.of(&new);
    add(&host, &new);
    let ports = host.leftovers().ports;
    // Each takes over what is its own.
    assert!(
        ports.contains(&net1.device()) && !ports.contains(&old.device()),
        "{ports:?}"
    );
    new_net1.call(&host, "ADD").succeed();
    assert!(!host.leftovers().ports.contains(&net1.device()));
    net1.call(&host, "DEL").succeed();
    del(&host, &old);
    host.await_forwarding();
    new.exchange(&other, true);
    new_net1.exchange(&of_other, true);
}

#[test]
fn after_a_killed_call_the_next_one_finds_what_it_left() {
    let (host, _agent) = ready();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    let before = host.leftovers();
    let net1 = Further::with_port(&host, &pod, "net1", Slice::GREEN, 10);
    for step in ADD_STEPS {
        net1.call(&host, "ADD").pausing_at(step).start().kill_at_pause();
        net1.call(&host, "ADD").succeed();
        net1.call(&host, "ADD").pausing_at(step).start().kill_at_pause();
        net1.call(&host, "DEL").succeed();
        host.await_leftovers(&before);
    }
    assert!(pod.eth0().is_some());
}

#[test]
fn gc_keeps_the_further_interfaces_of_sandboxes_that_exist_and_no_others() {
    let (host, _agent) = ready();
    let (kept, stale) = (Pod::with_port(&host), Pod::with_port(&host));
    let further = [(&kept, 10), (&stale, 11)].map(|(pod, host_part)| {
        let mut net1 = Further::with_port(&host, pod, "net1", Slice::GREEN, host_part);
        // A definition that has the name of the runtime's own network.
        net1.network = "meridian";
        net1
    });
    let elsewhere = Further::with_port(&host, &stale, "net2", Slice::GREEN, 12);
    for net1 in &further {
        add(&host, net1.pod);
        net1.call(&host, "ADD").succeed();
    }
    elsewhere.call(&host, "ADD").succeed();
    let gc = |network: &str, valid| {
        crate::support::Call::new(&host, "GC")
            .set("name", json!(network))
            .set("cni.dev/valid-attachments", valid)
            .succeed();
        host.leftovers()
    };
    // The runtime made the first interfaces alone.
    let left = gc(
        "meridian",
        json!([{"containerID": kept.container_id, "ifname": "eth0"}]),
    );
    for device in [kept.device(), further[0].device(), elsewhere.device()] {
        assert!(
            left.ports.contains(&device) && left.links.contains(&device),
            "{device} {left:?}"
        );
    }
    for device in [stale.device(), further[1].device()] {
        assert!(
            !left.ports.contains(&device) && !left.links.contains(&device),
            "{device} {left:?}"
        );
    }
    let left = gc("green", json!([]));
    assert!(!left.ports.contains(&elsewhere.device()), "{left:?}");
    assert!(left.ports.contains(&further[0].device()), "{left:?}");
}

#[test]
fn the_agent_looks_after_interfaces_of_every_network() {
    let (host, mut agent) = ready();
    let (stays, goes) = (Pod::with_port(&host), Pod::with_port(&host));
    let net1 = Further::with_port(&host, &stays, "net1", Slice::GREEN, 10);
    let gone = Further::with_port(&host, &goes, "net1", Slice::GREEN, 11);
    for further in [&net1, &gone] {
        add(&host, further.pod);
        further.call(&host, "ADD").succeed();
    }
    run("ip", &["netns", "exec", host.name(), "nft", "flush", "ruleset"]);
    eventually("every shield is back", || {
        let shields = host.leftovers().shields;
        [stays.device(), net1.device()]
            .iter()
            .all(|device| shields.contains(device))
            .then_some(())
    });
    // What a host that was rebooted finds: ports without devices, and nobody who would send DEL.
    agent.daemon.kill();
    goes.remove_netns();
    eventually("the devices are gone", || {
        (!host.leftovers().links.contains(&gone.device())).then_some(())
    });
    assert!(host.leftovers().ports.contains(&gone.device()));
    let _agent = Agent::start(&host);
    eventually("no port is left of the pod", || {
        let ports = host.leftovers().ports;
        (!ports.contains(&gone.device()) && !ports.contains(&goes.device())).then_some(())
    });
    let ports = host.leftovers().ports;
    assert!(
        ports.contains(&net1.device()) && ports.contains(&stays.device()),
        "{ports:?}"
    );
}

#[test]
fn every_interface_of_a_pod_is_explained() {
    let (host, _agent) = ready();
    let pod = Pod::with_port(&host);
    let net1 = Further::with_port(&host, &pod, "net1", Slice::GREEN, 10);
    let longer = Further::new(&pod, "net2", Slice::GREEN, 11);
    add(&host, &pod);
    let socket = host.path("node.sock");
    let name = format!("default/{}", pod.name);
    let explain = || {
        run(
            env!("CARGO_BIN_EXE_meridian-node"),
            &["explain", &name, "--socket", &socket],
        )
    };
    let (first, second) = (pod.port(), net1.port());
    eventually("both interfaces are told of", || {
        let told = explain();
        let lines: Vec<_> = told.lines().collect();
        (lines.len() == 2
            && lines[0].contains(&format!("port {first} as up"))
            && lines[1].contains(&format!("has not claimed port {second}")))
        .then_some(())
    });
    net1.call(&host, "ADD").succeed();
    eventually("the further one is up", || {
        explain().contains(&format!("port {second} as up")).then_some(())
    });
    assert!(!explain().contains(&longer.port()));
}
