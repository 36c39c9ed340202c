//! `docs/northbound.md` names everything that is written.

use std::collections::{BTreeMap, BTreeSet};

use meridian_compile::{Config, Settings};
use meridian_model::{
    EndpointSlice, Namespace, NetworkAttachment, NetworkPolicy, Node, Pod, PolicyRule, Protocol, Service, Subnet,
    TrafficPolicy, Vpc,
};

use crate::support::Lab;

const REFERENCE: &str = include_str!("../../../../docs/northbound.md");

/// Texts by heading, of the second and third level.
fn sections() -> BTreeMap<&'static str, &'static str> {
    let parts = REFERENCE.split("\n## ").flat_map(|part| part.split("\n### "));
    parts.filter_map(|part| part.split_once('\n')).collect()
}

/// What the reference says of a table: what it says of every row, of facts about ports, and of the table.
fn of_table(table: &str) -> String {
    let heading = |heading: &str| heading.split(':').next() == Some(table);
    let common = |heading: &str| ["Every row", "Port facts"].contains(&heading);
    sections()
        .into_iter()
        .filter(|(title, _)| heading(title) || common(title))
        .map(|(_, text)| text)
        .collect()
}

/// Columns, and keys of columns that are maps, of every table.
fn written() -> BTreeMap<&'static str, BTreeSet<String>> {
    let config = Config::new(Settings {
        cluster_id: Some("east".into()),
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap(), "fd00:10:244::/48".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        mtu: Some(1400),
        ..Settings::default()
    });
    let service = |name: &str, ip: &str| Service::test("shop", name).under([ip]).with_port("", 80);
    let local = service("local", "10.96.0.9").with_policies(TrafficPolicy::Local, TrafficPolicy::Cluster);
    let slice = EndpointSlice::test("shop", "local", "x").with_port("", 80);
    let mut subnet = Subnet::test("vms", "blue", ["10.20.0.0/24", "fd00:20::/64"]).with_dhcp();
    if let Some(dhcp) = &mut subnet.dhcp {
        dhcp.dns_servers = ["10.96.0.10", "fd00:10:96::a"].map(Into::into).into();
        dhcp.domain_name = Some("example.com".into());
        dhcp.search_domains = ["example.com".into()].into();
        dhcp.ntp_servers = ["192.0.2.1".into()].into();
    }
    let lab = Lab::new(config.unwrap())
        .with(Node::test("a").in_zone("east").labelled("edge", ""))
        .with(Pod::test("shop", "web").on("a").attached("shop", "green"))
        .with(NetworkAttachment::test("shop", "green", "green"))
        .with(Vpc::test("blue", ["10.10.0.0/16", "fd00:10::/48"]).with_peers(["green"]))
        .with(
            Vpc::test("green", ["10.11.0.0/16"])
                .with_peers(["blue"])
                .open_to([""])
                .by_gateways(),
        )
        .with(Namespace::test("grass").in_vpc("green"))
        .with(Pod::test("grass", "web").on("a"))
        .with(Namespace::test("shop").in_vpc(""))
        .with(Namespace::test("sky").in_vpc("blue"))
        .with(Pod::test("sky", "web").on("a"))
        .with(subnet)
        .with(Pod::test("sky", "vm").on("a").in_subnet("vms"))
        .with(Service::test("sky", "web").under(["10.96.0.10"]).with_port("", 80))
        .with(
            EndpointSlice::test("sky", "web", "x")
                .with_port("", 80)
                .ready(["10.10.0.4"])
                .on("a"),
        )
        .with(
            service("web", "10.96.0.7")
                .with_affinity(60)
                .with_port_of(Protocol::Udp, "dns", 53),
        )
        .with(service("sticky", "10.96.0.8").with_affinity(86_400))
        .with(local.with_external_ips(["192.0.2.7"]))
        .with(slice.ready(["10.244.0.9"]).on("a"))
        .with(
            NetworkPolicy::test("shop", "web")
                .with_ingress([])
                .with_egress([PolicyRule::default()]),
        );
    let desired = lab.0.desired();
    let mut written: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for row in desired.tables().flat_map(|table| desired.rows(table)) {
        let columns = written.entry(row.table).or_default();
        for (column, datum) in &row.columns {
            columns.insert((*column).to_owned());
            // The keys of this one are addresses.
            let keys = if *column == "vips" { &[] } else { datum.pairs() };
            columns.extend(keys.iter().map(|(key, _)| key.as_str().unwrap().to_owned()));
        }
    }
    for (table, _, column) in desired.link_columns() {
        written.entry(table).or_default().insert(column.to_owned());
    }
    written
}

#[test]
fn the_reference_names_every_table_column_and_key_that_is_written() {
    let written = written();
    assert_eq!(written.len(), 16, "{:?}", written.keys());
    let mut missing = Vec::new();
    for (table, words) in &written {
        let text = of_table(table);
        // `word`, `column:word` or `word:key`.
        let named = |word: &str| {
            [format!("`{word}`"), format!(":{word}`"), format!("`{word}:")]
                .iter()
                .any(|mention| text.contains(mention))
        };
        missing.extend(
            words
                .iter()
                .filter(|word| !named(word))
                .map(|word| format!("{table}: {word}")),
        );
    }
    assert!(missing.is_empty(), "docs/northbound.md does not mention {missing:#?}");
}
