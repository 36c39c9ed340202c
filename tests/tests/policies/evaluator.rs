//! What `NetworkPolicy` and `ClusterNetworkPolicy` mean, told as simply as possible from the objects themselves. Knows nothing of
//! Meridian.

use std::net::IpAddr;

use serde_json::Value;

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum End<'a> {
    /// A pod, and its namespace.
    Pod { pod: &'a Value, namespace: &'a Value },
    /// A node.
    Host { node: &'a str },
    /// Somebody else.
    Outside,
}

/// The first packet of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) from: End<'a>,
    pub(crate) source: IpAddr,
    pub(crate) to: End<'a>,
    pub(crate) destination: IpAddr,
    /// `TCP`, `UDP` or `SCTP`.
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
}

/// What decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Law<'a> {
    pub(crate) policies: &'a [Value],
    /// Those of the whole cluster, no two of a tier with one priority.
    pub(crate) of_cluster: &'a [Value],
    pub(crate) nodes: &'a [Value],
}

/// Whether a packet is let through.
pub(crate) fn allowed(law: Law<'_>, packet: &Packet<'_>) -> bool {
    let policies = law.policies;
    if let (End::Host { node }, End::Pod { pod, .. }) = (&packet.from, &packet.to)
        && pod["spec"]["nodeName"] == *node
    {
        return true;
    }
    let judged = |direction, isolated: &End<'_>, other: &End<'_>, address| {
        let End::Pod { pod, namespace } = isolated else {
            return true;
        };
        let tier = |tier| decision(law, tier, direction, (isolated, other, address), packet);
        match tier("Admin") {
            Some("Accept") => return true,
            Some("Deny") => return false,
            _ => {}
        }
        let isolating: Vec<&Value> = policies
            .iter()
            .filter(|policy| policy["metadata"]["namespace"] == namespace["metadata"]["name"])
            .filter(|policy| selects(&policy["spec"]["podSelector"], &pod["metadata"]["labels"]))
            .filter(|policy| types(policy).contains(&direction))
            .collect();
        if isolating.is_empty() {
            return tier("Baseline") != Some("Deny");
        }
        isolating.iter().any(|policy| {
            let (rules, peers) = match direction {
                "Ingress" => ("ingress", "from"),
                _ => ("egress", "to"),
            };
            let rules = list(&policy["spec"][rules]);
            rules.iter().any(|rule| {
                let (peers, ports) = (list(&rule[peers]), list(&rule["ports"]));
                let all_ports = ports.is_empty();
                let on_port = |named: bool| {
                    let mut ports = ports.iter().filter(|port| named || !port["port"].is_string());
                    all_ports || ports.any(|port| is_port(port, packet))
                };
                let peer = |peer: &Value| {
                    // Of addresses nobody knows what their ports are called: Meridian says so in an event.
                    let named = direction == "Ingress" || peer.get("ipBlock").is_none();
                    is_peer(peer, other, address, &policy["metadata"]["namespace"]) && on_port(named)
                };
                if peers.is_empty() {
                    on_port(true)
                } else {
                    peers.iter().any(peer)
                }
            })
        })
    };
    judged("Ingress", &packet.to, &packet.from, packet.source)
        && judged("Egress", &packet.from, &packet.to, packet.destination)
}

/// What the first rule of a tier says that a packet matches.
fn decision<'a>(
    law: Law<'a>,
    tier: &str,
    direction: &str,
    (subject, other, address): (&End<'_>, &End<'_>, IpAddr),
    packet: &Packet<'_>,
) -> Option<&'a str> {
    let mut policies: Vec<&Value> = law
        .of_cluster
        .iter()
        .filter(|policy| policy["spec"]["tier"] == tier)
        .collect();
    policies.sort_by_key(|policy| policy["spec"]["priority"].as_u64());
    let (rules, peers) = match direction {
        "Ingress" => ("ingress", "from"),
        _ => ("egress", "to"),
    };
    let subject_of = |policy: &&&Value| are(&policy["spec"]["subject"], subject);
    let rules = policies
        .iter()
        .filter(subject_of)
        .flat_map(|policy| list(&policy["spec"][rules]));
    let mut matching = rules.filter(|rule| {
        let peer = |peer: &Value| {
            if let Some(networks) = peer.get("networks") {
                return list(networks).iter().any(|network| contains(network, address));
            }
            if let Some(selector) = peer.get("nodes") {
                let nodes = law
                    .nodes
                    .iter()
                    .filter(|node| selects(selector, &node["metadata"]["labels"]));
                let mut addresses = nodes.flat_map(|node| list(&node["status"]["addresses"]));
                return addresses.any(|known| known["address"] == address.to_string());
            }
            are(peer, other)
        };
        let protocols = list(&rule["protocols"]);
        list(&rule[peers]).iter().any(peer)
            && (protocols.is_empty() || protocols.iter().any(|protocol| is_protocol(protocol, packet)))
    });
    matching.next().map(|rule| rule["action"].as_str().unwrap())
}

/// Whether somebody is among some pods, by namespaces or by pods.
fn are(pods: &Value, end: &End<'_>) -> bool {
    let End::Pod { pod, namespace } = end else { return false };
    let labels = |object: &Value| object["metadata"]["labels"].clone();
    match pods.get("pods") {
        Some(pods) => {
            selects(&pods["namespaceSelector"], &labels(namespace)) && selects(&pods["podSelector"], &labels(pod))
        }
        None => selects(&pods["namespaces"], &labels(namespace)),
    }
}

fn is_protocol(protocol: &Value, packet: &Packet<'_>) -> bool {
    if let Some(name) = protocol.get("destinationNamedPort") {
        // Of whatever protocol the port of that name is.
        return is_port(&serde_json::json!({"port": name, "protocol": packet.protocol}), packet);
    }
    let Some(of) = protocol.get(packet.protocol.to_lowercase()) else {
        return false;
    };
    let port = u64::from(packet.port);
    match (&of["destinationPort"]["number"], &of["destinationPort"]["range"]) {
        (Value::Null, Value::Null) => true,
        (Value::Null, range) => (range["start"].as_u64().unwrap()..=range["end"].as_u64().unwrap()).contains(&port),
        (number, _) => *number == port,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn types(policy: &Value) -> Vec<&str> {
    list(&policy["spec"]["policyTypes"])
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

fn is_peer(peer: &Value, end: &End<'_>, address: IpAddr, own: &Value) -> bool {
    if let Some(block) = peer.get("ipBlock") {
        let except = list(&block["except"]);
        return contains(&block["cidr"], address) && !except.iter().any(|cidr| contains(cidr, address));
    }
    let End::Pod { pod, namespace } = end else { return false };
    let in_namespace = match peer.get("namespaceSelector") {
        Some(selector) => selects(selector, &namespace["metadata"]["labels"]),
        None => namespace["metadata"]["name"] == *own,
    };
    let pods = peer.get("podSelector");
    in_namespace && pods.is_none_or(|selector| selects(selector, &pod["metadata"]["labels"]))
}

fn is_port(port: &Value, packet: &Packet<'_>) -> bool {
    if port["protocol"].as_str().unwrap_or("TCP") != packet.protocol {
        return false;
    }
    match &port["port"] {
        Value::Null => true,
        Value::String(name) => {
            let End::Pod { pod, .. } = &packet.to else { return false };
            let containers = list(&pod["spec"]["containers"]);
            let mut ports = containers.iter().flat_map(|container| list(&container["ports"]));
            ports.any(|port| {
                port["name"] == **name
                    && port["protocol"].as_str().unwrap_or("TCP") == packet.protocol
                    && port["containerPort"] == packet.port
            })
        }
        first => {
            let first = first.as_u64().unwrap();
            let last = port["endPort"].as_u64().unwrap_or(first);
            (first..=last).contains(&packet.port.into())
        }
    }
}

fn contains(cidr: &Value, address: IpAddr) -> bool {
    let (network, length) = cidr.as_str().unwrap().split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    let bits = |address: IpAddr| match address {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 4),
        IpAddr::V6(ip) => (ip.to_bits(), 6),
    };
    let ((network, family), (address, of)) = (bits(network.parse().unwrap()), bits(address));
    family == of && (length == 0 || (network ^ address) >> (128 - length) == 0)
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let required = selector["matchLabels"].as_object();
    let labels_match = required.into_iter().flatten().all(|(key, value)| labels[key] == *value);
    let expressions = list(&selector["matchExpressions"]);
    labels_match
        && expressions.iter().all(|expression| {
            let value = &labels[expression["key"].as_str().unwrap()];
            let listed = list(&expression["values"]).contains(value);
            match expression["operator"].as_str().unwrap() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => !value.is_null(),
                "DoesNotExist" => value.is_null(),
                other => panic!("no operator {other}"),
            }
        })
}
