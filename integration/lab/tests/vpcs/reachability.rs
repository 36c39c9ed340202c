//! Who reaches what of a VPC: the table of docs/vpcs.md, every cell asked, and told by `explain path` as well. `UPDATE_GOLDEN=1`
//! writes it anew.

#![allow(
    clippy::print_stderr,
    reason = "which question of a cell has another answer than the table"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use meridian_lab::wait;

use crate::client::{AT_ONCE, Outcome};
use crate::cluster::{Cluster, NETWORKS, OUTSIDE, SUBNET, WORLD, listening, shared};
use crate::probe::Protocol;
use crate::service::{Frontend, Service};
use crate::told;

/// How long a cell may take to become what the table says.
const SETTLED: Duration = Duration::from_secs(30);
/// And to be no answer.
const SILENT: Duration = Duration::from_secs(3);
const BEGIN: &str = "<!-- reachability -->\n";
const END: &str = "<!-- /reachability -->\n";

/// A pod or a host that asks, its own host if it has one, and another.
type Asker<'a> = (&'a str, Option<&'a str>, &'a str);

/// Who asks.
const WHO: [(&str, &[Asker<'static>]); 9] = [
    (
        "a pod of `blue`",
        &[
            ("sky/client-1", Some("node-1"), "node-3"),
            ("sky/client-2", Some("node-2"), "node-3"),
        ],
    ),
    (
        "the same, in a Subnet",
        &[
            ("sky/db-1", Some("node-1"), "node-3"),
            ("sky/db-2", Some("node-2"), "node-3"),
        ],
    ),
    ("a pod of a peer", &[("sea/client-1", Some("node-1"), "node-3")]),
    (
        "a pod of another VPC",
        &[
            ("grass/client-1", Some("node-1"), "node-2"),
            ("grass/client-3", Some("node-3"), "node-1"),
        ],
    ),
    (
        "a pod of one with `egress.mode: None`, `services.shared: false`",
        &[("earth/web-1", Some("node-1"), "node-3")],
    ),
    (
        "a pod of the default VPC",
        &[
            ("plain-1", Some("node-1"), "node-3"),
            ("plain-3", Some("node-3"), "node-1"),
        ],
    ),
    ("a host with pods of `blue`", &[("node-2", Some("node-2"), "node-3")]),
    ("a host without", &[("node-3", Some("node-3"), "node-1")]),
    (
        "somebody outside the cluster",
        &[(OUTSIDE, None, "node-1"), (OUTSIDE, None, "node-3")],
    ),
];

/// How many of these are pods.
const PODS_ASK: usize = 5;

/// What is asked for.
const WHAT: [&str; 9] = [
    "pod of `blue`",
    "the same, in a Subnet",
    "ClusterIP",
    "shared ClusterIP",
    "NodePort, own host",
    "NodePort, another host",
    "port of own host",
    "port of another host",
    "the world",
];

/// Who answers for `blue`, on both nodes with pods of it.
const PODS: [&str; 2] = ["sky/web-1", "sky/web-2"];
/// Whose addresses nobody else has, both on node-2: of a slice, and of a Subnet.
const POD: &str = "sky/last";
const IN_SUBNET: &str = "sky/db-2";

struct Asked<'a> {
    who: &'a str,
    at: Vec<Frontend>,
    answers: Vec<&'a str>,
    protocols: &'static [Protocol],
}

const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

#[test]
fn the_table_says_who_reaches_what() {
    let Some(cluster) = shared() else { return };
    let endpoints = PODS.map(|pod| cluster.endpoint(pod));
    let own = Service::new("table", 50).of("sky").on_nodes().answered_by(&endpoints);
    let common = Service::new("table-shared", 51)
        .of("sky")
        .shared()
        .answered_by(&endpoints);
    cluster.put(&own);
    cluster.put(&common);
    // Who is outside may try.
    let services = cluster.lab.lab.plan().service_cidrs();
    let networks = services
        .iter()
        .map(ToString::to_string)
        .chain(NETWORKS.map(str::to_owned))
        .chain(SUBNET.map(str::to_owned));
    cluster.route(&networks.collect::<Vec<_>>(), "node-1");
    // What answers somebody answers everybody it will.
    cluster
        .from(&["sky/client-1", "node-1", "node-3"], own.cluster())
        .answered_by_any(&PODS);
    cluster
        .from(&["grass/client-1", "grass/client-3", "plain-1"], common.cluster())
        .answered_by_any(&PODS);
    cluster
        .from(&[OUTSIDE], own.at_nodes(cluster.nodes()))
        .answered_by_any(&PODS);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vpcs.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (table, after) = rest.split_once(END).expect("which has an end");
    let known: Vec<Vec<&str>> = table.lines().skip(2).map(cells).collect();

    let (found, asked) = all(&cluster, &own, &common, &known);
    let found = render(&found);
    eprintln!("{} questions", asked.len());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{found}{END}{after}")).expect("the page can be written");
    } else {
        assert!(
            found == table,
            "docs/vpcs.md says otherwise: if the change is meant, run the test with UPDATE_GOLDEN=1\n{found}"
        );
    }

    // Only pods' paths are explained.
    let pods = WHO[..PODS_ASK].iter().flat_map(|(_, askers)| *askers);
    let pods: BTreeSet<&str> = pods.map(|(who, ..)| *who).collect();
    let by_pods: Vec<told::Asked> = asked.into_iter().filter(|asked| pods.contains(&*asked.who)).collect();
    assert!(by_pods.len() > 200, "only {} questions of pods", by_pods.len());
    let differences = told::differences(&cluster, &by_pods);
    assert!(
        differences.is_empty(),
        "explain path tells {} of {} otherwise\n{}",
        differences.len(),
        by_pods.len(),
        differences.join("\n")
    );
}

/// The cells of a row but the first.
fn cells(line: &str) -> Vec<&str> {
    let line = line.trim_matches(['|', ' ']);
    line.split('|').skip(1).map(str::trim).collect()
}

fn render(found: &[Vec<String>]) -> String {
    let mut text = format!(
        "| from \\ to | {} |\n|---|{}\n",
        WHAT.join(" | "),
        "---|".repeat(WHAT.len())
    );
    for ((who, _), row) in WHO.iter().zip(found) {
        writeln!(text, "| {who} | {} |", row.join(" | ")).expect("a string");
    }
    text
}

/// Every cell at once, and the questions.
fn all(
    cluster: &Cluster,
    own: &Service,
    common: &Service,
    known: &[Vec<&str>],
) -> (Vec<Vec<String>>, Vec<told::Asked>) {
    std::thread::scope(|scope| {
        let mut asking = Vec::new();
        for (row, (_, askers)) in WHO.iter().enumerate() {
            for (column, _) in WHAT.iter().enumerate() {
                let known = known.get(row).and_then(|row| row.get(column)).copied();
                for asker in *askers {
                    let Some(asked) = question(cluster, column, *asker, own, common) else {
                        continue;
                    };
                    for (at, protocol) in asked
                        .at
                        .iter()
                        .flat_map(|at| asked.protocols.iter().map(move |by| (*at, *by)))
                    {
                        let (who, answers) = (asked.who, asked.answers.clone());
                        let ask = move || cell(cluster, who, at, protocol, &answers, known);
                        asking.push((row, column, (who, at, protocol), scope.spawn(ask)));
                    }
                }
            }
        }
        let mut asked = Vec::new();
        let mut found = vec![vec![BTreeSet::new(); WHAT.len()]; WHO.len()];
        for (row, column, (who, at, protocol), outcome) in asking {
            let outcome = outcome.join().expect("no question panics");
            let known = known.get(row).and_then(|row| row.get(column)).copied();
            if known != Some(&*outcome) {
                eprintln!("{who} to {}, {protocol:?}: {outcome}", at.ip);
            }
            asked.push(told::Asked {
                who: who.to_owned(),
                at,
                protocol,
                outcome: outcome.clone(),
            });
            found[row][column].insert(outcome);
        }
        let text = |outcomes: BTreeSet<String>| {
            if outcomes.is_empty() {
                return "–".to_owned();
            }
            outcomes.into_iter().collect::<Vec<_>>().join(" or ")
        };
        let found = found.into_iter().map(|row| row.into_iter().map(text).collect());
        (found.collect(), asked)
    })
}

fn question<'a>(
    cluster: &Cluster,
    column: usize,
    (who, own_host, other): Asker<'a>,
    own: &Service,
    common: &Service,
) -> Option<Asked<'a>> {
    let asked = |at: Vec<Frontend>, answers: &[&'a str], protocols| Asked {
        who,
        at,
        answers: answers.to_vec(),
        protocols,
    };
    Some(match column {
        0 => asked(cluster.at(POD).to_vec(), &[POD], BOTH),
        1 => asked(cluster.at(IN_SUBNET).to_vec(), &[IN_SUBNET], BOTH),
        2 => asked(own.cluster().to_vec(), &PODS, BOTH),
        3 => asked(common.cluster().to_vec(), &PODS, BOTH),
        4 => asked(own.at_nodes(cluster.host_ips(own_host?)), &PODS, BOTH),
        5 => asked(own.at_nodes(cluster.host_ips(other)), &PODS, BOTH),
        6 => asked(listening(cluster.host_ips(own_host?)), &[own_host?], &BOTH[..1]),
        7 => asked(listening(cluster.host_ips(other)), &[other], &BOTH[..1]),
        _ => asked(listening(WORLD), &[OUTSIDE], &BOTH[..1]),
    })
}

/// What becomes of it: soon what the table says, unless it is something else for good.
fn cell(
    cluster: &Cluster,
    who: &str,
    at: Frontend,
    protocol: Protocol,
    answers: &[&str],
    known: Option<&str>,
) -> String {
    let limit = if known.is_some_and(|known| known.contains("no answer")) {
        SILENT
    } else {
        SETTLED
    };
    let mut last = String::new();
    cluster.within(who, || {
        wait::until(limit, || {
            last = match protocol.ask(at, AT_ONCE) {
                Outcome::Answer { pod, .. } if answers.contains(&&*pod) => "yes".to_owned(),
                Outcome::Lost => "no answer".to_owned(),
                // Nobody of that address on the own wire.
                Outcome::Failed(why) if why.contains("No route to host") => "no answer".to_owned(),
                other => other.to_string(),
            };
            // Once is too often for who is to be kept out.
            let over =
                last != "no answer" && (last != "refused" || known.is_none_or(|known| known.contains("refused")));
            over.then_some(())
        })
    });
    last
}
