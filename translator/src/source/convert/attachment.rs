//! Further interfaces of pods: definitions of them, and pods' annotations
//! (Kubernetes Network Custom Resource Definition De-facto Standard 1.3).
//!
//! What cannot be read of them is kept as such, because it is the pod's trouble, which asks for the interface.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::attachment::{NETWORK_STATUS, NETWORKS, NetworkAttachmentDefinition, PLUGIN};
use meridian_api::name::is_further_interface;
use meridian_model::{AttachmentConfig, DefinitionKey, Name, NetworkAttachment, NetworkRequest, Networks};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{FieldError, Meta};

pub(super) fn definition(definition: NetworkAttachmentDefinition) -> Result<NetworkAttachment, FieldError> {
    let meta = Meta::read(definition.metadata)?;
    Ok(NetworkAttachment {
        key: DefinitionKey::new(meta.namespace_or_default(), meta.name),
        config: config(&definition.spec.config.unwrap_or_default()),
    })
}

fn config(text: &str) -> AttachmentConfig {
    // The configuration is a file on the node then. Whose it is cannot be told, and ours is none.
    if text.trim().is_empty() {
        return AttachmentConfig::Foreign;
    }
    let whole: Value = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(error) => return AttachmentConfig::Unreadable(format!("spec.config is not JSON: {error}").into()),
    };
    let is_ours = |config: &&Value| config.get("type").and_then(Value::as_str) == Some(PLUGIN);
    let ours = match whole.get("plugins") {
        Some(Value::Array(plugins)) => plugins.iter().find(is_ours),
        Some(_) => return AttachmentConfig::Unreadable("spec.config: plugins is no list".into()),
        None => Some(&whole).filter(is_ours),
    };
    let Some(ours) = ours else {
        return AttachmentConfig::Foreign;
    };
    let name = |field| match ours.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) => Ok(Some(Name::from(&**name)).filter(|name| !name.is_empty())),
        Some(other) => Err(format!("spec.config: {field} is {other}: expected a name in quotes")),
    };
    match name("vpc").and_then(|vpc| Ok((vpc, name("subnet")?))) {
        Ok((vpc, subnet)) => AttachmentConfig::Ours { vpc, subnet },
        Err(message) => AttachmentConfig::Unreadable(message.into()),
    }
}

/// What a pod's annotations say of further interfaces, if they say anything.
pub(super) fn networks(annotations: &BTreeMap<String, String>, namespace: &Name) -> Option<Box<Networks>> {
    let asked = annotations.get(NETWORKS).map(|text| text.trim());
    let asked = asked.filter(|text| !text.is_empty())?;
    let mut networks = match entries(asked) {
        Ok(entries) => wanted(entries, namespace),
        Err(message) => Networks {
            faults: [(0, message.into())].into(),
            ..Networks::default()
        },
    };
    if networks.is_empty() {
        return None;
    }
    if let Some(status) = annotations.get(NETWORK_STATUS) {
        networks.had = had(status, &networks.wanted);
    }
    Some(networks.into())
}

/// An entry as it is written.
enum Entry<'a> {
    Text(&'a str),
    Fields(Value),
}

/// Told apart as meta-plugins do it: no name has any of these characters.
fn entries(text: &str) -> Result<Vec<Entry<'_>>, String> {
    if !text.contains(['[', '{', '"']) {
        return Ok(text.split(',').map(|entry| Entry::Text(entry.trim())).collect());
    }
    let list: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        format!("it is neither a list of names, as \"one,shop/two@net7\", nor a list of objects in JSON: {error}")
    })?;
    Ok(list.into_iter().map(Entry::Fields).collect())
}

fn wanted(entries: Vec<Entry<'_>>, namespace: &Name) -> Networks {
    let (mut wanted, mut faults) = (Vec::<NetworkRequest>::new(), Vec::new());
    let mut interfaces = BTreeSet::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let number = at + 1;
        let request = match entry {
            Entry::Text(text) => of_text(text, number, namespace),
            Entry::Fields(value) => of_fields(value, number, namespace),
        };
        let request = request.and_then(|request| {
            if interfaces.insert(request.interface.clone()) {
                return Ok(request);
            }
            let interface = &request.interface;
            Err(format!(
                "another entry has an interface {interface}, too: name one of them otherwise"
            ))
        });
        match request {
            Ok(request) => wanted.push(request),
            Err(message) => faults.push((number, message.into())),
        }
    }
    Networks {
        wanted: wanted.into(),
        faults: faults.into(),
        had: Box::default(),
    }
}

/// `[namespace/]name[@interface]`.
fn of_text(text: &str, entry: usize, namespace: &Name) -> Result<NetworkRequest, String> {
    let how = || format!("{text:?} is not written [namespace/]name[@interface]");
    let (definition, interface) = match text.split_once('@') {
        Some((definition, interface)) => (definition, Some(interface)),
        None => (text, None),
    };
    let (namespace, name) = match definition.split_once('/') {
        Some((namespace, name)) => (Name::from(namespace), name),
        None => (namespace.clone(), definition),
    };
    if !is_name(&namespace) || !is_name(name) {
        return Err(how());
    }
    request(entry, DefinitionKey::new(namespace, name), interface)
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    !text.is_empty() && text.bytes().all(plain)
}

fn request(entry: usize, definition: DefinitionKey, interface: Option<&str>) -> Result<NetworkRequest, String> {
    let interface: Name = match interface {
        None | Some("") => format!("net{entry}").into(),
        Some(name) if is_further_interface(name) => name.into(),
        Some(name) => {
            return Err(format!(
                "{name:?} cannot be the name of a further interface: it has at most 15 characters, of letters, digits, \
                 \".\", \"_\" and \"-\", and is not eth0"
            ));
        }
    };
    Ok(NetworkRequest {
        entry,
        definition,
        interface,
        ips: Box::default(),
        mac: None,
        ignored: Box::default(),
    })
}

/// An entry in JSON. What it has beside these fields is another plugin's.
#[derive(Deserialize)]
struct Fields {
    name: String,
    namespace: Option<String>,
    interface: Option<String>,
    ips: Option<Vec<String>>,
    mac: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Fields of an entry that would make another interface of it.
const IGNORED: [&str; 6] = [
    "bandwidth",
    "cni-args",
    "default-route",
    "infiniband-guid",
    "ipam-claim-reference",
    "portMappings",
];

fn of_fields(value: Value, entry: usize, namespace: &Name) -> Result<NetworkRequest, String> {
    let fields: Fields = serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string() {
        path if path == "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let namespace = given(&fields.namespace).map_or_else(|| namespace.clone(), Name::from);
    for (field, name) in [("namespace", &*namespace), ("name", &fields.name)] {
        if !is_name(name) {
            return Err(format!("{field}: {name:?} is no name"));
        }
    }
    let definition = DefinitionKey::new(namespace, fields.name);
    let ips: Box<[IpAddr]> = fields
        .ips
        .unwrap_or_default()
        .iter()
        .map(|text| ip(text))
        .collect::<Result<_, _>>()?;
    let mac = given(&fields.mac).map(|text| mac(&text)).transpose()?;
    let ignored = IGNORED.into_iter();
    let ignored = ignored.filter(|field| fields.rest.get(*field).is_some_and(|value| !is_nothing(value)));
    Ok(NetworkRequest {
        ips,
        mac,
        ignored: ignored.collect(),
        ..request(entry, definition, given(&fields.interface).as_deref())?
    })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// An address, with or without the length of its network, which is OVN's to say.
fn ip(text: &str) -> Result<IpAddr, String> {
    let network = text.parse::<IpNetwork>();
    network
        .map(|network| network.ip())
        .map_err(|_| format!("ips: {text:?} is no IP address"))
}

fn mac(text: &str) -> Result<Name, String> {
    let octets: Vec<u8> = text
        .split([':', '-'])
        .filter(|octet| octet.len() == 2)
        .filter_map(|octet| u8::from_str_radix(octet, 16).ok())
        .collect();
    if octets.len() != 6 || text.len() != 17 {
        return Err(format!(
            "mac: {text:?} is no MAC address: write it like 02:00:00:00:00:07"
        ));
    }
    if octets[0] & 1 == 1 || octets.iter().all(|octet| *octet == 0) {
        return Err(format!("mac: {text:?} is no address that one interface can have"));
    }
    let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(octets.join(":").into())
}

/// An entry of the status.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    interface: String,
    #[serde(default)]
    ips: Vec<String>,
}

/// What the interfaces had. What cannot be read of it is passed over: it is the meta-plugin's, and says no more than what was.
fn had(status: &str, wanted: &[NetworkRequest]) -> Box<[(Name, Box<[IpAddr]>)]> {
    let list: Vec<Value> = serde_json::from_str(status).unwrap_or_default();
    let list = list.into_iter().filter_map(|value| Status::deserialize(value).ok());
    list.filter_map(|status| {
        let request = wanted.iter().find(|request| *request.interface == *status.interface)?;
        let ips: Box<[IpAddr]> = status.ips.iter().filter_map(|text| ip(text).ok()).collect();
        (!ips.is_empty()).then(|| (request.interface.clone(), ips))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use meridian_model::Object;
    use serde_json::json;

    use super::*;
    use crate::source::convert::from_value;

    fn read(asked: &str) -> Option<Networks> {
        read_with(asked, "")
    }

    fn read_with(asked: &str, status: &str) -> Option<Networks> {
        let mut annotations = BTreeMap::from([(NETWORKS.to_owned(), asked.to_owned())]);
        if !status.is_empty() {
            annotations.insert(NETWORK_STATUS.to_owned(), status.to_owned());
        }
        networks(&annotations, &"shop".into()).map(|networks| *networks)
    }

    fn told(networks: &Networks) -> Vec<String> {
        let wanted = networks.wanted.iter();
        wanted
            .map(|request| format!("{} {}@{}", request.entry, request.definition, request.interface))
            .collect()
    }

    fn fault(asked: &str) -> (usize, String) {
        let networks = read(asked).unwrap();
        assert_eq!(networks.faults.len(), 1, "{networks:?}");
        (networks.faults[0].0, networks.faults[0].1.to_string())
    }

    #[test]
    fn names_in_a_list_have_a_namespace_and_an_interface_or_not() {
        let networks = read(" db ,  net/storage@s0,other/x ").unwrap();
        assert_eq!(
            told(&networks),
            ["1 shop/db@net1", "2 net/storage@s0", "3 other/x@net3"]
        );
        assert!(networks.faults.is_empty());
    }

    #[test]
    fn objects_in_json_say_more() {
        let asked = json!([
            {"name": "db"},
            {"name": "storage", "namespace": "net", "interface": "s0", "ips": ["10.9.1.7/24", "fd00:9::7"],
             "mac": "02:00:00:00:00:0A", "default-route": ["10.9.1.1"], "bandwidth": {}},
        ]);
        let networks = read(&asked.to_string()).unwrap();
        assert_eq!(told(&networks), ["1 shop/db@net1", "2 net/storage@s0"]);
        let request = &networks.wanted[1];
        let ips: Vec<String> = request.ips.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["10.9.1.7", "fd00:9::7"]);
        assert_eq!(request.mac.as_deref(), Some("02:00:00:00:00:0a"));
        assert_eq!(*request.ignored, ["default-route"]);
    }

    #[test]
    fn nothing_is_asked_for_in_many_ways() {
        for nothing in ["", "  ", "[]"] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
        assert_eq!(networks(&BTreeMap::new(), &"shop".into()), None);
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_named_and_leaves_the_others_their_names() {
        for (asked, entry, what) in [
            ("db,a/b/c,x", 2, "\"a/b/c\" is not written"),
            ("db,,x", 2, "\"\" is not written"),
            ("db,Storage", 2, "is not written"),
            ("db@eth0", 1, "\"eth0\" cannot be the name of a further interface"),
            ("db@net2,x", 2, "another entry has an interface net2"),
            (r#"[{"name":"db"},{"namespace":"x"}]"#, 2, "missing field `name`"),
            (
                r#"[{"name":"db","ips":["10.9.1.700"]}]"#,
                1,
                "ips: \"10.9.1.700\" is no IP address",
            ),
            (r#"[{"name":"db","ips":"10.9.1.7"}]"#, 1, "ips: invalid type: string"),
            (
                r#"[{"name":"db","mac":"01:00:5e:00:00:01"}]"#,
                1,
                "no address that one interface can have",
            ),
            (r#"[{"name":"db","mac":"2:0:0:0:0:1"}]"#, 1, "is no MAC address"),
            (r#"[{"name":"a b"}]"#, 1, "name: \"a b\" is no name"),
            (r#"[{"name":"db"}"#, 0, "neither a list of names"),
            (r#"{"name":"db"}"#, 0, "neither a list of names"),
        ] {
            let (found, message) = fault(asked);
            assert_eq!(found, entry, "{asked}: {message}");
            assert!(message.contains(what), "{asked}: {message}");
        }
        assert_eq!(told(&read("db,a/b/c,x").unwrap()), ["1 shop/db@net1", "3 shop/x@net3"]);
    }

    #[test]
    fn the_status_tells_what_the_interfaces_had() {
        let status = json!([
            {"name": "meridian", "interface": "eth0", "ips": ["10.244.1.5"], "default": true},
            {"name": "shop/db", "interface": "net1", "ips": ["10.9.1.7", "fd00:9::7", "nonsense"], "mac": "0a:58"},
            {"name": "shop/none", "interface": "net2"},
            {"interface": 7},
        ]);
        let networks = read_with("db,none", &status.to_string()).unwrap();
        assert_eq!(networks.had.len(), 1);
        let had: Vec<String> = networks.had("net1").iter().map(ToString::to_string).collect();
        assert_eq!(had, ["10.9.1.7", "fd00:9::7"]);
        assert!(networks.had("net2").is_empty());
        assert!(read_with("db", "nonsense").unwrap().had.is_empty());
    }

    fn config_of(config: &Value) -> AttachmentConfig {
        let value = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "db", "namespace": "shop"}, "spec": {"config": config},
        });
        let Ok(Some(Object::NetworkAttachment(definition))) = from_value(value) else {
            panic!("no definition")
        };
        assert_eq!(definition.key, DefinitionKey::new("shop", "db"));
        definition.config
    }

    fn ours(vpc: Option<&str>, subnet: Option<&str>) -> AttachmentConfig {
        AttachmentConfig::Ours {
            vpc: vpc.map(Name::from),
            subnet: subnet.map(Name::from),
        }
    }

    #[test]
    fn a_configuration_of_ours_is_found_by_itself_and_in_a_list() {
        let alone = r#"{"cniVersion":"1.0.0","type":"meridian-cni","vpc":"green","mtu":1400}"#;
        assert_eq!(config_of(&json!(alone)), ours(Some("green"), None));
        let listed = r#"{"plugins":[{"type":"tuning"},{"type":"meridian-cni","subnet":"db","vpc":""}]}"#;
        assert_eq!(config_of(&json!(listed)), ours(None, Some("db")));
        assert_eq!(config_of(&json!(r#"{"type":"meridian-cni"}"#)), ours(None, None));
    }

    #[test]
    fn configurations_of_others_are_theirs() {
        for theirs in [r#"{"type":"macvlan"}"#, r#"{"plugins":[{"type":"bridge"}]}"#, "", "{}"] {
            assert_eq!(config_of(&json!(theirs)), AttachmentConfig::Foreign, "{theirs}");
        }
        assert_eq!(config_of(&Value::Null), AttachmentConfig::Foreign);
    }

    #[test]
    fn a_configuration_that_cannot_be_read_says_why() {
        for (config, why) in [
            ("nonsense", "spec.config is not JSON"),
            (r#"{"plugins":7}"#, "plugins is no list"),
            (r#"{"type":"meridian-cni","vpc":7}"#, "vpc is 7"),
            (r#"{"type":"meridian-cni","subnet":["db"]}"#, "subnet is [\"db\"]"),
        ] {
            let AttachmentConfig::Unreadable(message) = config_of(&json!(config)) else {
                panic!("{config}")
            };
            assert!(message.contains(why), "{message}");
        }
    }
}
