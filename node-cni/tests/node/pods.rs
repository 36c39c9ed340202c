//! ADD and DEL of pods, in and out of order.

use meridian_node_cni::netns::Netns;
use serde_json::json;

use crate::support::{Call, Pod, add, del, ready_host};

#[test]
fn two_pods_talk_and_leave_no_trace() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let (one, two) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &one);
    add(&host, &two);
    for v4 in [true, false] {
        one.exchange(&two, v4);
        two.exchange(&one, v4);
    }
    for pod in [&one, &two] {
        del(&host, pod);
    }
    host.await_leftovers(&before);
}

#[test]
fn the_result_tells_what_is_in_the_pod() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    let result = add(&host, &pod);
    let (link, addresses, routes) = pod.eth0().unwrap();
    assert_eq!(result["interfaces"][0]["name"], json!(pod.device()));
    let interface = &result["interfaces"][1];
    assert_eq!(interface["name"], json!("eth0"));
    assert_eq!(interface["mac"], json!(link.mac.unwrap().to_string()));
    assert_eq!((&interface["mtu"], link.mtu), (&json!(1442), 1442));
    assert_eq!(interface["sandbox"], json!(pod.path()));
    for ip in pod.facts().ips {
        assert!(addresses.iter().any(|address| address.network == ip), "{addresses:?}");
    }
    for destination in ["0.0.0.0/0", "::/0"] {
        assert!(
            routes.iter().any(|route| route.destination.to_string() == destination),
            "{routes:?}"
        );
    }
    assert_eq!(result["routes"].as_array().unwrap().len(), 2);
}

#[test]
fn the_port_carries_what_binds_it_and_what_finds_it() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    for (key, value) in [
        ("iface-id", pod.port()),
        ("iface-id-ver", pod.uid.clone()),
        ("attached-mac", pod.facts().mac),
        ("sandbox", pod.container_id.clone()),
        ("meridian/pod", pod.name.clone()),
        ("meridian/ifname", "eth0".to_owned()),
        ("ovn-installed", "true".to_owned()),
    ] {
        let found = host.vsctl(&["get", "Interface", &pod.device(), &format!("external_ids:{key}")]);
        assert_eq!(found.trim().trim_matches('"'), value, "{key}");
    }
}

#[test]
fn the_host_does_not_answer_for_itself_on_a_pods_device() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    // The management address is the host's, and the pod must find it through OVN, at its own MAC address.
    let listener = host.listen("10.244.1.2:0");
    let address = listener.local_addr().unwrap();
    crate::support::exchange(&Netns::open(&pod.path()).unwrap(), listener, address);
    let neighbours = crate::support::run("ip", &["-n", &pod.netns, "neigh", "show", "10.244.1.2"]);
    assert!(neighbours.contains("0a:58:0a:f4:01:02"), "{neighbours}");
    assert!(host.leftovers().shields.contains(&pod.device()));
}

#[test]
fn a_repeated_add_replaces_the_first() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let (pod, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &other);
    let first = add(&host, &pod);
    let second = add(&host, &pod);
    assert_eq!(first, second);
    pod.exchange(&other, true);
    del(&host, &pod);
    del(&host, &other);
    host.await_leftovers(&before);
}

#[test]
fn a_pods_new_sandbox_takes_over_and_the_old_ones_del_does_not_hurt_it() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let (old, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &other);
    add(&host, &old);
    let new = old.resandboxed(&host);
    add(&host, &new);
    let ports = host.leftovers().ports;
    assert!(
        ports.contains(&new.device()) && !ports.contains(&old.device()),
        "{ports:?}"
    );
    del(&host, &old);
    new.exchange(&other, true);
    del(&host, &new);
    del(&host, &other);
    host.await_leftovers(&before);
}

#[test]
fn deletion_succeeds_twice_and_of_what_never_was() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    del(&host, &pod);
    add(&host, &pod);
    del(&host, &pod);
    del(&host, &pod);
}

#[test]
fn deletion_needs_neither_netns_nor_agent_nor_southbound() {
    let (mut host, mut agent) = ready_host();
    let before = host.leftovers();
    let (gone, unnamed) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &gone);
    add(&host, &unnamed);
    agent.daemon.kill();
    host.ovn_server.take();
    gone.remove_netns();
    del(&host, &gone);
    let args = "IgnoreUnknown=1";
    Call::on(&host, "DEL", &unnamed)
        .without_env("CNI_NETNS")
        .env("CNI_ARGS", args)
        .succeed();
    host.await_leftovers(&before);
}

#[test]
fn an_interface_of_another_plugin_is_left_alone() {
    let (host, _agent) = ready_host();
    let before = host.leftovers();
    let pod = Pod::with_port(&host);
    crate::support::run("ip", &["-n", &pod.netns, "tuntap", "add", "eth0", "mode", "tap"]);
    let message = Call::on(&host, "ADD", &pod).fail(5);
    assert!(message.contains("interface eth0 already"), "{message}");
    assert_eq!(pod.eth0().unwrap().0.kind.as_deref(), Some("tun"));
    host.await_leftovers(&before);
}

#[test]
fn the_hosts_own_network_namespace_is_refused() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    let message = Call::on(&host, "ADD", &pod)
        .env("CNI_NETNS", &format!("/run/netns/{}", host.name()))
        .fail(4);
    assert!(message.contains("host's own"), "{message}");
}

#[test]
fn an_absent_network_namespace_needs_no_cleaning_up() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    pod.remove_netns();
    Call::on(&host, "ADD", &pod).fail(3);
}

#[test]
fn an_add_that_was_overtaken_does_not_clean_up_after_the_later_one() {
    let (mut host, _agent) = ready_host();
    let (pod, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &other);
    // The first ADD waits for its flows, and so does the second for a while.
    host.controller.take();
    let first = Call::on(&host, "ADD", &pod).start();
    host.await_plugin_log(&pod, "pod-configured");
    let second = Call::on(&host, "ADD", &pod).start();
    let message = first.finish().failed(11);
    assert!(message.contains("by a DEL or a later ADD"), "{message}");
    host.start_controller();
    let reply = second.finish();
    assert!(reply.success, "{}", reply.json);
    host.await_forwarding();
    pod.exchange(&other, true);
}
