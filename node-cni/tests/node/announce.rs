//! Announcers of several hosts and a client on one network: a bridge, veths, and real frames.

mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use meridian_node_cni::agent::announce::{AnnouncementStatus, Announcer, Role};
use ovsdb::testing::eventually;

use crate::support::netns;
use network::{BOTH, Network, V4, wanted};

#[test]
fn the_first_of_the_list_answers_for_the_address_and_no_other_does() {
    let network = Network::of(3);
    network.list(&[1, 0, 2]);
    network.await_only(1);
    for host in [0, 2] {
        eventually("the others know who announces", || {
            let status = network.status(host, V4)?;
            (status.role == Some(Role::Standby) && status.other == Some(network.mac(1))).then_some(())
        });
    }
    assert_eq!(network.answers(V4.parse().unwrap()), [(network.mac(1), 1)].into());
    assert_eq!(network.answers("192.0.2.201".parse().unwrap()), BTreeMap::new());
}

#[test]
fn a_standby_takes_over_from_a_host_that_is_cut_off() {
    for address in BOTH {
        let network = Network::of(3);
        network.list(&[0, 1, 2]);
        network.await_only(0);
        let ping = network.ping(address, 6);
        let start = Instant::now();
        network.ip("h0", &["link", "set", "eth0", "down"]);
        eventually("the standby announces", || {
            (network.announcing(address) == [1]).then_some(())
        });
        report(
            &format!("{address}: takeover after the link went down"),
            start.elapsed(),
            ping.lost(),
            32,
        );
    }
}

#[test]
fn a_standby_takes_over_from_an_agent_that_ends_and_keeps_the_address() {
    for address in BOTH {
        let mut network = Network::of(3);
        network.list(&[0, 1, 2]);
        network.await_only(0);
        let ping = network.ping(address, 6);
        let start = Instant::now();
        // What it announced stays in the client's table, and the kernel goes on to translate it.
        network.hosts[0] = None;
        eventually("the standby announces", || {
            (network.announcing(address) == [1]).then_some(())
        });
        report(
            &format!("{address}: takeover after the agent ended"),
            start.elapsed(),
            ping.lost(),
            0,
        );
        let back = netns(&network.name("h0")).run(|| Announcer::spawn().unwrap()).unwrap();
        network.hosts[0] = Some(back);
        network.list(&[0, 1, 2]);
        eventually("the first stands by", || {
            (network.status(0, address)?.role == Some(Role::Standby)).then_some(())
        });
        network.await_only(1);
    }
}

#[test]
fn the_third_takes_over_from_two_that_are_cut_off() {
    let network = Network::of(3);
    network.list(&[0, 1, 2]);
    network.await_only(0);
    let ping = network.ping(V4, 7);
    let start = Instant::now();
    for host in ["h0", "h1"] {
        network.ip(host, &["link", "set", "eth0", "down"]);
    }
    eventually("the third announces", || (network.announcing(V4) == [2]).then_some(()));
    report("takeover by the third", start.elapsed(), ping.lost(), 37);
}

#[test]
fn a_new_order_moves_the_address_and_loses_next_to_nothing() {
    for address in BOTH {
        let network = Network::of(3);
        network.list(&[0, 1]);
        network.await_only(0);
        let ping = network.ping(address, 5);
        let start = Instant::now();
        network.list(&[1, 0]);
        eventually("the new first announces", || {
            (network.announcing(address) == [1]).then_some(())
        });
        report(&format!("{address}: move to a standby"), start.elapsed(), 0, 0);
        let start = Instant::now();
        network.list(&[2, 1]);
        eventually("the new first announces", || {
            (network.announcing(address) == [2]).then_some(())
        });
        report(
            &format!("{address}: move to a node that was in no list, both moves"),
            start.elapsed(),
            ping.lost(),
            2,
        );
    }
}

#[test]
fn hosts_that_did_not_hear_each_other_agree_when_they_do() {
    let network = Network::of(2);
    let isolate = |how: &str| {
        for port in ["h0-eth0", "h1-eth0"] {
            network.ip(
                "switch",
                &["link", "set", port, "type", "bridge_slave", "isolated", how],
            );
        }
    };
    isolate("on");
    network.list(&[0, 1]);
    for address in BOTH {
        eventually("both announce", || {
            (network.announcing(address) == [0, 1]).then_some(())
        });
    }
    assert_eq!(network.answers(V4.parse().unwrap()).len(), 2);
    isolate("off");
    network.await_only(0);
}

#[test]
fn an_address_that_is_no_longer_wanted_is_no_longer_answered() {
    let network = Network::of(1);
    network.list(&[0]);
    network.await_only(0);
    network.list(&[]);
    eventually("nothing is announced", || {
        network.hosts[0].as_ref()?.status().is_empty().then_some(())
    });
    assert_eq!(network.answers(V4.parse().unwrap()), BTreeMap::new());
}

#[test]
fn a_device_that_comes_later_and_changes_its_address_is_followed() {
    let mut network = Network::of(1);
    let announcer = network.hosts[0].take().unwrap();
    announcer.set(vec![wanted("198.51.100.1", 0, &[]), wanted(V4, 0, &["eth7"])]);
    let problems = eventually("problems are told", || {
        let problems: BTreeSet<_> = announcer
            .status()
            .into_iter()
            .filter_map(|status| status.problem)
            .collect();
        (problems.len() == 2).then_some(problems)
    });
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("no such Ethernet device")),
        "{problems:?}"
    );
    assert!(
        problems.iter().any(|problem| problem.contains("no default route")),
        "{problems:?}"
    );

    network.plug("h0", "eth7", 77);
    network.ip("h0", &["route", "add", "default", "via", "192.0.2.1", "dev", "eth0"]);
    announcer.links_changed();
    let announced_on = |address: &str| -> Option<String> {
        let address: IpAddr = address.parse().unwrap();
        let announcing =
            |status: &AnnouncementStatus| status.address == address && status.role == Some(Role::Announcing);
        announcer.status().into_iter().find(announcing)?.interface
    };
    eventually("it is announced on the new device", || {
        (announced_on(V4)? == "eth7" && announced_on("198.51.100.1")? == "eth0").then_some(())
    });

    network.ip("h0", &["link", "set", "eth7", "address", "02:00:00:00:00:77"]);
    announcer.links_changed();
    eventually("the new Ethernet address is answered", || {
        let answers = network.answers(V4.parse().unwrap());
        (answers == [("02:00:00:00:00:77".to_owned(), 1)].into()).then_some(())
    });
}

#[allow(clippy::print_stderr, reason = "figures for who asks for them with --nocapture")]
fn report(what: &str, took: Duration, lost: u32, bound: u32) {
    eprintln!("{what}: {} ms, {lost} pings of ten a second lost", took.as_millis());
    assert!(lost <= bound, "{what}: lost {lost} pings, {bound} are allowed");
}
