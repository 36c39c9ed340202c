//! What `explain path` tells of who reaches what, held to what packets did: the rules of hosts it knows by reading only.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use serde_json::Value;

use crate::cluster::{Cluster, WORLD};
use crate::probe::Protocol;
use crate::service::Frontend;

/// A question that a pod asked, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) who: String,
    pub(crate) at: Frontend,
    pub(crate) protocol: Protocol,
    /// As the table says it: `yes`, `refused` or `no answer`.
    pub(crate) outcome: String,
}

/// The questions that `explain path` answers otherwise than the packets did, with what it says.
pub(crate) fn differences(cluster: &Cluster, asked: &[Asked]) -> Vec<String> {
    let differs = |asked: &Asked| {
        let told = tell(cluster, asked);
        let outcomes = outcomes(&told, asked.at.ip);
        let agrees = !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == asked.outcome);
        (!agrees).then(|| {
            let Asked {
                who,
                at,
                protocol,
                outcome,
            } = asked;
            let ways = &told["ways"];
            format!(
                "{who} to {}, {protocol:?}: {outcome} by packets, and told {outcomes:?}: {ways:#}",
                at.ip
            )
        })
    };
    asked.iter().filter_map(differs).collect()
}

/// What `explain path` says, from the manifests that the lab's translator follows.
fn tell(cluster: &Cluster, asked: &Asked) -> Value {
    let plan = cluster.lab.lab.plan();
    let list = |networks: Vec<ipnetwork::IpNetwork>| {
        let texts = networks.iter().map(ToString::to_string);
        texts.collect::<Vec<_>>().join(",")
    };
    let (protocol, port) = match asked.protocol {
        Protocol::Tcp => ("tcp", asked.at.tcp),
        Protocol::Udp => ("udp", asked.at.udp),
    };
    let target = SocketAddr::new(asked.at.ip, port).to_string();
    let translator = crate::common::binaries().translator();
    let output = Command::new(translator.unwrap_or_else(|e| panic!("{e}")))
        .args(["explain", "path", &asked.who, "to", &target, "--protocol", protocol])
        .args(["--offline", "--output=json", "--manifests"])
        .arg(plan.cluster_dir())
        .arg(format!("--cluster-cidr={}", list(plan.cluster_cidrs())))
        .arg(format!("--service-cidr={}", list(plan.service_cidrs())))
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} to {target}: {said}", asked.who);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{} to {target}: {e}", asked.who))
}

/// What that means for whoever asks, whichever endpoint is chosen.
fn outcomes(told: &Value, to: IpAddr) -> Vec<&'static str> {
    let ways = told["ways"].as_array().into_iter().flatten();
    let ends = ways.flat_map(|way| match (&way["verdict"], way["branches"].as_array()) {
        (Value::String(verdict), Some(branches)) if verdict == "depends" => branches.iter().collect::<Vec<_>>(),
        _ => vec![way],
    });
    let outcome = |end: &Value| match end["verdict"].as_str().unwrap_or_default() {
        "reached" => "yes",
        "refused" => "refused",
        // It does not say what becomes of it there: of all addresses beyond the cluster, only these answer.
        "leaves" if WORLD.contains(&to) => "yes",
        "dropped" | "leaves" => "no answer",
        _ => "something else",
    };
    ends.map(outcome).collect()
}
