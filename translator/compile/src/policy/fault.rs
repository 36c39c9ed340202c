//! What a policy says and makes no sense. It is passed over, and the rest of the policy holds; so what is passed over allows nothing.

use ipnetwork::IpNetwork;
use meridian_model::{ClusterPolicy, Key, NetworkPolicy, PolicyPeer, PolicyRule, PortMatch};

use super::resolve::is_known;
use crate::context::Context;
use crate::ip;

pub(super) fn report(ctx: &mut Context<'_>, policy: &NetworkPolicy) {
    let directions = [("ingress", "from", &policy.ingress), ("egress", "to", &policy.egress)];
    for (direction, peers, rules) in directions {
        for (at, rule) in rules.iter().flat_map(|rules| rules.iter()).enumerate() {
            let faults = of_rule(rule, peers, direction == "egress");
            for (field, message) in faults {
                let object = Key::from(policy.key());
                ctx.problem(object, format!("spec.{direction}[{at}].{field}"), message);
            }
        }
    }
}

/// The same of a policy of the whole cluster.
pub(super) fn report_cluster(ctx: &mut Context<'_>, policy: &ClusterPolicy) {
    let object = || Key::from(policy.key.clone());
    if ctx.ladder().is_crowded(&policy.key) {
        let message = format!(
            "there are more rules of the tier {} before it than OVN has priorities: some of its rules are left out",
            policy.tier
        );
        ctx.problem(object(), "spec.priority", message);
    }
    for (direction, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
        for (at, rule) in rules.iter().enumerate() {
            if let Some((field, message)) = &rule.fault {
                ctx.problem(object(), format!("spec.{direction}[{at}].{field}"), &**message);
            }
        }
    }
}

fn of_rule(rule: &PolicyRule, peers: &str, egress: bool) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for (at, peer) in rule.peers.iter().enumerate() {
        if let PolicyPeer::Block { cidr, except } = peer {
            of_block(&format!("{peers}[{at}].ipBlock"), cidr, except, &mut faults);
        }
    }
    for (at, port) in rule.ports.iter().enumerate() {
        if !is_known(&port.protocol) {
            let message = format!("{} is none of TCP, UDP, SCTP: this port is passed over", port.protocol);
            faults.push((format!("ports[{at}].protocol"), message));
        }
        let blocks = rule.peers.iter().any(|peer| matches!(peer, PolicyPeer::Block { .. }));
        if let PortMatch::Named(name) = &port.port
            && egress
            && blocks
        {
            let message = format!(
                "{name:?} is a name of pods' ports: of the addresses of an ipBlock nobody knows what it stands for, and it \
                 allows nothing to them; give the port's number"
            );
            faults.push((format!("ports[{at}].port"), message));
        }
    }
    faults
}

fn of_block(field: &str, cidr: &str, except: &[meridian_model::Name], faults: &mut Vec<(String, String)>) {
    let Ok(block) = cidr.parse::<IpNetwork>() else {
        let message = format!("{cidr:?} is no network as in 10.0.0.0/8 or 2001:db8::/32: this block is passed over");
        return faults.push((format!("{field}.cidr"), message));
    };
    for (at, text) in except.iter().enumerate() {
        let field = format!("{field}.except[{at}]");
        match text.parse::<IpNetwork>() {
            Err(_) => {
                let message = format!(
                    "{text:?} is no network: the whole block is passed over, rather than allow what it excepts"
                );
                faults.push((field, message));
            }
            Ok(except) if !ip::contains(ip::canonical(block), ip::canonical(except)) => {
                faults.push((field, format!("{text} is not inside {cidr}: it excepts what both have")));
            }
            Ok(_) => {}
        }
    }
}
