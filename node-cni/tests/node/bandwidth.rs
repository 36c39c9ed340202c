//! Limits of pods' bandwidth, with real packets through the userspace datapath.

use std::time::{Duration, Instant};

use ovsdb::testing::eventually;
use serde_json::{Value, json};

use crate::support::{Call, Host, Pod, add, ready_host, run};

/// A megabyte a second, and at most this at once, in bits.
const RATE: u32 = 8_000_000;
const BURST: u32 = 8 * 64 * 1024;
/// What `exchange` sends each way, less the burst, at that rate.
const LEAST: Duration = Duration::from_millis(900);

fn add_limited(host: &Host, pod: &Pod, bandwidth: &Value) -> Value {
    Call::on(host, "ADD", pod)
        .set("runtimeConfig", json!({"bandwidth": bandwidth}))
        .succeed()
}

fn qdisc(namespace: &str, device: &str) -> String {
    run("tc", &["-n", namespace, "-s", "qdisc", "show", "dev", device])
}

/// How long a megabyte there and back takes.
fn time(from: &Pod, to: &Pod) -> Duration {
    let start = Instant::now();
    from.exchange(to, true);
    start.elapsed()
}

#[test]
fn what_enters_a_pod_is_limited_whatever_open_vswitch_goes_through() {
    let (mut host, _agent) = ready_host();
    let (limited, other) = (Pod::with_port(&host), Pod::with_port(&host));
    let bandwidth = json!({"ingressRate": RATE, "ingressBurst": BURST});
    let result = add_limited(&host, &limited, &bandwidth);
    add(&host, &other);
    let shaped = |host: &Host| qdisc(host.name(), &limited.device()).contains("qdisc tbf 4d: root");
    assert!(shaped(&host) && !qdisc(&limited.netns, "eth0").contains("tbf"));
    let took = time(&other, &limited);
    assert!(took >= LEAST, "{took:?}");

    // Open vSwitch manages queueing, too, and looks at it when ports come and when it starts.
    let late = Pod::with_port(&host);
    add(&host, &late);
    assert!(shaped(&host));
    host.vswitchd.take();
    host.start_vswitchd();
    host.await_forwarding();
    eventually("the port is back", || {
        let port = host.vsctl(&["get", "Interface", &limited.device(), "ofport"]);
        (port.trim() != "[]" && port.trim() != "-1").then_some(())
    });
    let took = time(&other, &limited);
    assert!(took >= LEAST, "{took:?}");
    assert!(shaped(&host), "{}", qdisc(host.name(), &limited.device()));

    let check = || {
        Call::on(&host, "CHECK", &limited)
            .set("runtimeConfig", json!({"bandwidth": bandwidth}))
            .set("prevResult", result.clone())
    };
    check().succeed();
    run(
        "tc",
        &["-n", host.name(), "qdisc", "del", "dev", &limited.device(), "root"],
    );
    let message = check().fail(101);
    assert!(message.contains("has no limit, not 8000000 bit/s"), "{message}");
}

#[test]
fn what_leaves_a_pod_is_limited() {
    let (host, _agent) = ready_host();
    let (limited, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add_limited(&host, &limited, &json!({"egressRate": RATE, "egressBurst": BURST}));
    add(&host, &other);
    assert!(qdisc(&limited.netns, "eth0").contains("qdisc tbf 4d: root"));
    assert!(!qdisc(host.name(), &limited.device()).contains("tbf"));
    let took = time(&limited, &other);
    assert!(took >= LEAST, "{took:?}");
}

#[test]
fn a_fast_limit_and_one_without_a_burst_let_a_pod_work() {
    let (host, _agent) = ready_host();
    let (fast, other) = (Pod::with_port(&host), Pod::with_port(&host));
    // As containerd passes annotations of 100G and 20M.
    let bandwidth = json!({"ingressRate": 100_000_000_000_u64, "ingressBurst": u32::MAX,
        "egressRate": 20_000_000, "egressBurst": u32::MAX});
    let result = add_limited(&host, &fast, &bandwidth);
    add(&host, &other);
    fast.exchange(&other, true);
    other.exchange(&fast, false);
    Call::on(&host, "CHECK", &fast)
        .set("runtimeConfig", json!({"bandwidth": bandwidth}))
        .set("prevResult", result)
        .succeed();
}

#[test]
fn a_limit_that_cannot_be_is_refused_and_hinders_no_deletion() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    let wrong = json!({"bandwidth": {"ingressRate": RATE, "ingressBurst": 0}});
    let message = Call::on(&host, "ADD", &pod).set("runtimeConfig", wrong.clone()).fail(7);
    assert!(
        message.contains("runtimeConfig.bandwidth.ingressBurst is 0"),
        "{message}"
    );
    Call::on(&host, "DEL", &pod).set("runtimeConfig", wrong).succeed();
}

#[test]
fn a_pod_without_limits_has_none() {
    let (host, _agent) = ready_host();
    let pod = Pod::with_port(&host);
    add(&host, &pod);
    let found = qdisc(host.name(), &pod.device()) + &qdisc(&pod.netns, "eth0");
    assert!(!found.contains("tbf"), "{found}");
}
