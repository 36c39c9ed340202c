//! What somebody removes or changes on the host comes back, on the kernel's word: the agent's regular look is a minute
//! away, and no test waits for that long.

use ovsdb::testing::eventually;

use crate::support::{Host, Pod, add, ready_host, ruleset, run};

fn nft(host: &Host, arguments: &[&str]) {
    run("ip", &[&["netns", "exec", host.name(), "nft"], arguments].concat());
}

fn ip(host: &Host, arguments: &[&str]) -> String {
    run("ip", &[&["-n", host.name()], arguments].concat())
}

fn await_routes_and_addresses(host: &Host) {
    eventually("addresses and routes are back", || {
        let addresses = ip(host, &["addr", "show", "dev", "meridian0"]);
        let (v4, v6) = (ip(host, &["route", "show"]), ip(host, &["-6", "route", "show"]));
        let there = addresses.contains("10.244.1.2/24")
            && addresses.contains("fd00:10:244:1::2/64")
            && v4.contains("10.244.0.0/16")
            && v6.contains("fd00:10:244::/48");
        there.then_some(())
    });
}

#[test]
fn routes_and_addresses_come_back() {
    let (host, agent) = ready_host();
    await_routes_and_addresses(&host);
    for removed in [
        &["route", "del", "10.244.0.0/16"][..],
        &["-6", "route", "del", "fd00:10:244::/48"],
        &["addr", "flush", "dev", "meridian0"],
        &["-6", "addr", "flush", "dev", "meridian0"],
        &["link", "set", "meridian0", "down"],
    ] {
        ip(&host, removed);
        await_routes_and_addresses(&host);
    }
    eventually("the device is up", || {
        ip(&host, &["link", "show", "meridian0"])
            .contains("LOWER_UP")
            .then_some(())
    });
    eventually("and the node ready", || agent.status().filter(|status| status.ready));
}

#[test]
fn nftables_rules_come_back_and_those_of_others_stay() {
    let (host, agent) = ready_host();
    nft(&host, &["add", "table", "inet", "theirs"]);
    let rules = || {
        let listing = run("ip", &["netns", "exec", host.name(), "nft", "list", "tables"]);
        assert!(listing.contains("theirs"), "{listing}");
        let tables = ruleset(&host);
        tables.contains("masquerade").then(|| {
            run(
                "ip",
                &["netns", "exec", host.name(), "nft", "list", "table", "inet", "meridian"],
            )
        })
    };
    let before = eventually("rules", rules);
    for removed in [
        &["delete", "table", "inet", "meridian"][..],
        &["flush", "table", "inet", "meridian"],
        &["flush", "chain", "inet", "meridian", "forward"],
        &["add", "rule", "inet", "meridian", "forward", "drop"],
    ] {
        nft(&host, removed);
        eventually("the rules are as they were", || (rules()? == before).then_some(()));
    }
    assert!(agent.daemon.log().contains("somebody changed the nftables table"));
    nft(&host, &["flush", "ruleset"]);
    eventually("the rules are back", || {
        ruleset(&host).contains("masquerade").then_some(())
    });
}

#[test]
fn the_shields_of_running_pods_come_back() {
    let (host, _agent) = ready_host();
    let (one, other) = (Pod::with_port(&host), Pod::with_port(&host));
    add(&host, &one);
    add(&host, &other);
    let before = host.leftovers().shields;
    assert_eq!(before.len(), 2);
    for removed in [&["flush", "ruleset"][..], &["delete", "table", "netdev", "meridian"]] {
        nft(&host, removed);
        eventually("shields", || (host.leftovers().shields == before).then_some(()));
    }
    one.exchange(&other, true);
}
