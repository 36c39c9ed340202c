//! Whom a path leads to, as a person writes it: `shop/web-0`, `10.96.0.10:53`, `service:shop/web:http`, `node:node-1:30080`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use meridian_compile::{PathPort, PathTarget};
use meridian_model::{ClusterPolicyKey, ClusterPolicyKind, Key, PodKey, ServiceKey};

/// Why a text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names nobody that something could be sent to: {reason}; write NAMESPACE/POD, an address, service:NAMESPACE/NAME or node:NAME, each with :PORT if need be"
)]
pub struct TargetError {
    text: String,
    reason: &'static str,
}

/// Who, and at which port. A name without a kind is a pod's, unless it is an address; without a namespace it is in `default`.
pub(super) fn target(text: &str) -> Result<(PathTarget, Option<PathPort>), TargetError> {
    let fail = |reason| TargetError {
        text: text.to_owned(),
        reason,
    };
    if let Some(address) = address(text) {
        return Ok(address);
    }
    let (kind, rest) = match text.split_once(':') {
        Some((kind @ ("pod" | "service" | "svc" | "node"), rest)) => (kind, rest),
        _ => ("pod", text),
    };
    let (name, port) = match rest.split_once(':') {
        Some((_, port)) if port.is_empty() || port.contains(':') => return Err(fail("what follows : is no port")),
        Some((name, port)) => (
            name,
            Some(self::port(port).ok_or_else(|| fail("a port is 1 to 65535, or a name"))?),
        ),
        None => (rest, None),
    };
    let (namespace, own) = match name.split_once('/') {
        Some((namespace, own)) => (namespace, own),
        None => ("default", name),
    };
    if namespace.is_empty() || own.is_empty() || own.contains('/') {
        return Err(fail("a name is lacking, or is more than one"));
    }
    let target = match kind {
        "node" if name.contains('/') => return Err(fail("a node has no namespace")),
        "node" => PathTarget::Node(name.into()),
        "service" | "svc" => PathTarget::Service(ServiceKey::new(namespace, own)),
        _ => PathTarget::Pod(PodKey::new(namespace, own)),
    };
    Ok((target, port))
}

/// A policy: `shop/web`, or one of the whole cluster by its kind, as kubectl has it: `cnp:guard`.
pub(super) fn policy_key(text: &str) -> Key {
    if let Some((kind, name)) = text.split_once(':') {
        let mut kinds = ClusterPolicyKind::ALL.into_iter();
        if let Some(kind) = kinds.find(|known| [known.short(), known.word()].contains(&kind)) {
            let name = name.into();
            return ClusterPolicyKey { kind, name }.into();
        }
    }
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    Key::network_policy(namespace, name)
}

/// An address, with a port or without. IPv6 with a port has brackets, as everywhere.
fn address(text: &str) -> Option<(PathTarget, Option<PathPort>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((PathTarget::Address(address), None));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().ok()?;
        return Some((PathTarget::Address(address.into()), None));
    }
    let address: SocketAddr = text.parse().ok()?;
    Some((
        PathTarget::Address(address.ip()),
        Some(PathPort::Number(address.port())),
    ))
}

fn port(text: &str) -> Option<PathPort> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: u16 = text.parse().ok().filter(|&number| number != 0)?;
        return Some(PathPort::Number(number));
    }
    Some(PathPort::Name(text.to_owned()))
}

/// A pod; a name alone is one in `default`.
pub(super) fn pod_key(name: &str) -> PodKey {
    let name = name.strip_prefix("pod:").unwrap_or(name);
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    PodKey::new(namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_what_is_meant() {
        let pod = |namespace: &str, name: &str| PathTarget::Pod(PodKey::new(namespace, name));
        let service = PathTarget::Service(ServiceKey::new("shop", "web"));
        let address = |text: &str| PathTarget::Address(text.parse().unwrap());
        let number = |port| Some(PathPort::Number(port));
        for (text, expected) in [
            ("shop/db-0", (pod("shop", "db-0"), None)),
            ("db-0:5432", (pod("default", "db-0"), number(5432))),
            ("pod:default/10.0.0.1", (pod("default", "10.0.0.1"), None)),
            ("10.96.0.10:53", (address("10.96.0.10"), number(53))),
            ("10.96.0.10", (address("10.96.0.10"), None)),
            ("[fd00::1]:53", (address("fd00::1"), number(53))),
            ("[fd00::1]", (address("fd00::1"), None)),
            ("fd00::1", (address("fd00::1"), None)),
            ("service:shop/web", (service.clone(), None)),
            ("svc:shop/web:80", (service.clone(), number(80))),
            ("service:shop/web:http", (service, Some(PathPort::Name("http".into())))),
            ("node:n1:30080", (PathTarget::Node("n1".into()), number(30080))),
        ] {
            assert_eq!(target(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_nobody_is_told() {
        for text in [
            "",
            "shop/",
            "/db",
            "a/b/c",
            "shop/db:",
            "shop/db:0",
            "shop/db:70000",
            "node:a/b",
            "service:a:b:c",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
