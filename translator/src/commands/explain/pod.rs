//! `explain pod`.

use std::fmt::Write as _;

use meridian_compile::{AddressSource, Compiler, InterfaceExplanation, PodExplanation};
use meridian_model::PodKey;
use serde::Serialize;

use super::rows::Rows;

/// Everything there is to say of a pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    #[serde(flatten)]
    pub(super) pod: PodExplanation,
    /// The rows it should have, and whether the database has them so.
    #[serde(flatten)]
    pub(super) rows: Rows,
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
}

pub(super) fn not_found(compiler: &Compiler, key: &PodKey) -> String {
    let others = compiler.cluster().pods().filter(|pod| pod.name == key.name);
    let mut others: Vec<String> = others.map(|pod| pod.key().to_string()).collect();
    others.sort_unstable();
    match others.len() {
        0 => format!("there is no pod {key}"),
        _ => format!("there is no pod {key}; of that name there are {}", others.join(", ")),
    }
}

pub(super) fn table(answered: &Answered) -> String {
    let Answered { pod, rows, problems } = answered;
    let mut text = format!("pod {}\n", pod.pod);
    if let Some(why) = &pod.missing {
        let _ = writeln!(text, "  no port: {why}");
    }
    // What keeps it from having a port is told already.
    let told = pod.missing.as_deref().unwrap_or_default();
    for problem in problems
        .iter()
        .filter(|problem| told.is_empty() || !problem.ends_with(told))
    {
        let _ = writeln!(text, "  problem: {problem}");
    }
    text.push('\n');
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<10} {value}");
    };
    line("UID", pod.uid.clone());
    match &pod.vpc {
        Some(vpc) => line("VPC", format!("{}  ({})", vpc.name, vpc.why)),
        None => line("VPC", "none".to_owned()),
    }
    line("node", pod.node.clone().unwrap_or_else(|| "none yet".to_owned()));
    if let Some(slice) = &pod.slice {
        let networks: Vec<String> = slice.networks.iter().map(ToString::to_string).collect();
        if networks.is_empty() {
            line("slice", "none".to_owned());
        } else {
            line("slice", format!("{}  (switch {})", networks.join(" "), slice.switch));
        }
    }
    if let Some(subnet) = &pod.subnet {
        let networks: Vec<String> = subnet.networks.iter().map(ToString::to_string).collect();
        let (name, networks) = (&subnet.name, networks.join(" "));
        line(
            "Subnet",
            format!("{name}  {networks}  (switch {}; {})", subnet.switch, subnet.why),
        );
    }
    for address in &pod.addresses {
        let source = match address.source {
            AddressSource::Status => "in its status",
            AddressSource::AskedFor => "asked for by its annotation meridian.dev/ips",
            AddressSource::Kept => "kept: its row has it, its status nothing yet",
            AddressSource::Allocated => "allocated: it was free, and its status says nothing yet",
        };
        line(
            "address",
            format!("{}  gateway {}  ({source})", address.address, address.gateway),
        );
    }
    if let (Some(port), Some(mac)) = (&pod.port, &pod.mac) {
        line("port", format!("{port}  MAC {mac}"));
    }
    for interface in &pod.interfaces {
        line("interface", interface_line(interface));
    }
    rows.print(&mut text);
    text
}

/// What becomes of a further interface.
fn interface_line(interface: &InterfaceExplanation) -> String {
    let mut words = vec![interface.name.clone()];
    words.extend(interface.vpc.as_ref().map(|vpc| format!("VPC {vpc}")));
    words.extend(interface.addresses.iter().map(ToString::to_string));
    if let (Some(port), Some(mac)) = (&interface.port, &interface.mac) {
        words.push(format!("port {port}  MAC {mac}"));
    }
    words.extend(interface.missing.as_ref().map(|why| format!("no port: {why}")));
    format!("{}  ({})", words.join("  "), interface.definition)
}
