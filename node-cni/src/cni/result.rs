//! Results of ADD, in every version; and `prevResult` read back.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::{Map, Value, json};

use super::{CniError, Code, Version};

/// What ADD attached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CniResult {
    /// Devices, on the host and in the container.
    pub interfaces: Vec<Interface>,
    /// Addresses.
    pub ips: Vec<Ip>,
    /// Routes.
    pub routes: Vec<Route>,
    /// DNS settings, handed on as configured.
    pub dns: Option<Value>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Option<String>,
    /// Its MTU (1.1.0).
    pub mtu: Option<u32>,
    /// The network namespace, if it is not the host's.
    pub sandbox: Option<String>,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// With the prefix length of its network.
    pub address: IpNetwork,
    /// The default gateway of its family.
    pub gateway: Option<IpAddr>,
    /// Index into the result's interfaces.
    pub interface: Option<usize>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: IpNetwork,
    /// The next hop.
    pub gateway: Option<IpAddr>,
}

impl CniResult {
    /// As a version prints it.
    pub fn to_json(&self, version: Version) -> Value {
        let interfaces: Vec<Value> = self.interfaces.iter().map(|i| i.to_json(version)).collect();
        let ips: Vec<Value> = self.ips.iter().map(|ip| ip.to_json(version)).collect();
        let routes: Vec<Value> = self
            .routes
            .iter()
            .map(|route| {
                let mut value = json!({ "dst": route.destination });
                if let Some(gateway) = route.gateway {
                    value["gw"] = json!(gateway);
                }
                value
            })
            .collect();
        json!({
            "cniVersion": version.as_str(),
            "interfaces": interfaces,
            "ips": ips,
            "routes": routes,
            "dns": self.dns.clone().unwrap_or_else(|| Value::Object(Map::new())),
        })
    }

    /// Reads a `prevResult`, of whichever version; other plugins may have added to it.
    pub fn from_json(value: &Value) -> Result<Self, CniError> {
        let list = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Self {
            interfaces: collect("interfaces", list("interfaces"), Interface::from_json)?,
            ips: collect("ips", list("ips"), Ip::from_json)?,
            routes: collect("routes", list("routes"), Route::from_json)?,
            dns: value.get("dns").cloned(),
        })
    }
}

impl Interface {
    fn to_json(&self, version: Version) -> Value {
        let mut value = json!({ "name": self.name });
        if let Some(mac) = &self.mac {
            value["mac"] = json!(mac);
        }
        if let Some(mtu) = self.mtu.filter(|_| version >= Version::V1_1_0) {
            value["mtu"] = json!(mtu);
        }
        if let Some(sandbox) = &self.sandbox {
            value["sandbox"] = json!(sandbox);
        }
        value
    }

    fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self {
            name: text("name")?,
            mac: text("mac"),
            mtu: value["mtu"]
                .as_u64()
                .and_then(|mtu| u32::try_from(mtu).ok())
                .filter(|mtu| *mtu > 0),
            sandbox: text("sandbox"),
        })
    }
}

impl Ip {
    fn to_json(&self, version: Version) -> Value {
        let mut value = json!({ "address": self.address });
        if version < Version::V1_0_0 {
            value["version"] = json!(if self.address.is_ipv4() { "4" } else { "6" });
        }
        if let Some(gateway) = self.gateway {
            value["gateway"] = json!(gateway);
        }
        if let Some(interface) = self.interface {
            value["interface"] = json!(interface);
        }
        value
    }

    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            address: value["address"].as_str()?.parse().ok()?,
            gateway: value["gateway"].as_str().and_then(|gateway| gateway.parse().ok()),
            interface: value["interface"]
                .as_u64()
                .and_then(|index| usize::try_from(index).ok()),
        })
    }
}

impl Route {
    fn from_json(value: &Value) -> Option<Self> {
        Some(Self {
            destination: value["dst"].as_str()?.parse().ok()?,
            gateway: value["gw"].as_str().and_then(|gateway| gateway.parse().ok()),
        })
    }
}

fn collect<T>(what: &str, values: &[Value], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, CniError> {
    values
        .iter()
        .map(|value| {
            read(value).ok_or_else(|| {
                CniError::new(
                    Code::InvalidConfig,
                    format!("prevResult.{what} has an entry that cannot be read: {value}"),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> CniResult {
        CniResult {
            interfaces: vec![
                Interface {
                    name: "mrd".into(),
                    mac: None,
                    mtu: Some(1442),
                    sandbox: None,
                },
                Interface {
                    name: "eth0".into(),
                    mac: Some("0a:58:0a:f4:00:05".into()),
                    mtu: Some(1442),
                    sandbox: Some("/run/netns/c1".into()),
                },
            ],
            ips: vec![
                Ip {
                    address: "10.244.0.5/24".parse().unwrap(),
                    gateway: Some("10.244.0.1".parse().unwrap()),
                    interface: Some(1),
                },
                Ip {
                    address: "fd00::5/64".parse().unwrap(),
                    gateway: None,
                    interface: Some(1),
                },
            ],
            routes: vec![Route {
                destination: "0.0.0.0/0".parse().unwrap(),
                gateway: Some("10.244.0.1".parse().unwrap()),
            }],
            dns: None,
        }
    }

    #[test]
    fn addresses_carry_their_family_before_1_0_0_only() {
        let old = result().to_json(Version::V0_4_0);
        assert_eq!(
            (&old["ips"][0]["version"], &old["ips"][1]["version"]),
            (&json!("4"), &json!("6"))
        );
        assert_eq!(result().to_json(Version::V1_0_0)["ips"][0].get("version"), None);
    }

    #[test]
    fn the_mtu_is_told_from_1_1_0_on() {
        assert_eq!(result().to_json(Version::V1_0_0)["interfaces"][1].get("mtu"), None);
        assert_eq!(result().to_json(Version::V1_1_0)["interfaces"][1]["mtu"], json!(1442));
    }

    #[test]
    fn a_result_survives_being_handed_back() {
        let handed_back = CniResult::from_json(&result().to_json(Version::V1_1_0)).unwrap();
        assert_eq!(handed_back.interfaces, result().interfaces);
        assert_eq!(handed_back.ips, result().ips);
        assert_eq!(handed_back.routes, result().routes);
    }

    #[test]
    fn an_unreadable_entry_of_a_previous_result_is_shown() {
        let error = CniResult::from_json(&json!({"ips": [{"address": "ten"}]})).unwrap_err();
        assert_eq!(error.code.number(), 7);
        assert!(error.message.contains("prevResult.ips"), "{error}");
    }
}
