//! Policies are in force before a pod starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipnetwork::IpNetwork;
use meridian_lab::wait;
use serde_json::json;

use crate::cluster::{pod, shared};
use crate::service::PORTS;

/// How often the pod starts; `MERIDIAN_POLICY_RESTARTS` says otherwise.
const RESTARTS: u32 = 20;

/// Addresses of the slice that pods have one after the other: those released are given again last.
const ADDRESSES: u32 = 120;

#[test]
fn not_one_packet_reaches_a_pod_that_is_isolated_from_its_first_moment_on() {
    let Some(cluster) = shared() else { return };
    let _busy = cluster.busy();
    let ns = "starting";
    let restarts = std::env::var("MERIDIAN_POLICY_RESTARTS").map_or(RESTARTS, |n| n.parse().expect("a number"));
    cluster.put_pods(ns, &[("prober", "node-1"), ("open", "node-2")]);
    cluster.put(
        ns,
        "closed",
        &json!({"podSelector": {"matchLabels": {"name": "closed"}}}),
    );
    let open = cluster.ips(&format!("{ns}/open"))[0];
    let IpAddr::V4(open) = open else {
        panic!("the lab's first family is IPv4")
    };
    let slice = IpNetwork::new(open.into(), 24).expect("a prefix length").network();
    let IpAddr::V4(first) = slice else {
        unreachable!("the network of an address of IPv4")
    };
    let done = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let (cluster, done) = (&cluster, &done);
        let prober = scope.spawn(move || cluster.within(&format!("{ns}/prober"), || probe(first, done)));
        // They end even if this fails.
        let restarted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..restarts {
                cluster.apply(vec![pod(ns, "closed", "node-2")]);
                let started = wait::until(wait::PATIENCE, || cluster.sandbox(&format!("{ns}/closed")));
                assert!(started.is_some_and(|pod| !pod.ips.is_empty()), "the pod has no address");
                cluster.delete("Pod", ns, "closed");
            }
        }));
        done.store(true, Ordering::Relaxed);
        let answers = prober.join().expect("probing does not panic");
        if let Err(panic) = restarted {
            std::panic::resume_unwind(panic);
        }
        answers
    });
    let of = |name: &str| {
        answers
            .iter()
            .filter(|text| text.contains(&format!("pod {ns}/{name} ")))
            .count()
    };
    assert!(of("open") > 0, "who is not isolated answered nothing");
    assert_eq!(of("closed"), 0, "of {} answers", answers.len());
}

/// Sends to every address of a slice, over and over, and tells what comes back.
fn probe(first: Ipv4Addr, done: &AtomicBool) -> Vec<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .expect("not zero");
    let mut answers = Vec::new();
    let mut buffer = [0; 512];
    let mut receive = |answers: &mut Vec<String>| {
        while let Ok(length) = socket.recv(&mut buffer) {
            answers.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    };
    while !done.load(Ordering::Relaxed) {
        for host in 4..ADDRESSES {
            let to = Ipv4Addr::from_bits(first.to_bits() + host);
            // Nobody may have the address.
            let _ = socket.send_to(b"/", SocketAddr::from((to, PORTS[1])));
            // Not all at once: the switch is there for others, too.
            if host % 8 == 0 {
                receive(&mut answers);
            }
        }
    }
    receive(&mut answers);
    answers
}
