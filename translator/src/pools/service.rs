//! [`Service`]: what giving addresses has to know of a service, and what the service wants.
//!
//! Read field by field, so that nothing else about an object can keep it from being read.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use meridian_api::address_pool::{ADDRESSES, ALLOCATED, CLASS, POOL};
use meridian_model::ServiceKey;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::family::{Family, PerFamily};
use super::pool::Labels;
use crate::source::kubernetes::Seen;

/// What is kept of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// `metadata.resourceVersion`.
    pub(super) version: String,
    /// `metadata.creationTimestamp`, which sorts as text.
    pub(super) created: String,
    pub(super) labels: Labels,
    pub(super) deleting: bool,
    /// Whether `spec.type` is `LoadBalancer`.
    pub(super) balanced: bool,
    /// `spec.loadBalancerClass`.
    pub(super) class: Option<String>,
    pub(super) wish: Wish,
    /// `spec.externalIPs`: addresses that nobody else may get.
    pub(super) external: Vec<IpAddr>,
    /// `status.loadBalancer.ingress`.
    pub(super) ingress: Vec<Ingress>,
    /// Our condition.
    pub(super) condition: Option<Condition>,
}

/// Which addresses a service wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Of which families.
    pub(super) families: PerFamily<bool>,
    /// Whether it wants all of them or none.
    pub(super) all: bool,
    /// These and no others.
    pub(super) addresses: PerFamily<Option<IpAddr>>,
    /// Of this pool and no other.
    pub(super) pool: Option<String>,
    /// What cannot be understood of what it asks for.
    pub(super) nonsense: Option<String>,
}

/// One of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ingress {
    /// None if it has a hostname.
    pub(super) address: Option<IpAddr>,
    /// Whether hosts answer for it (`ipMode`), or the API server does not know of any difference.
    pub(super) virtual_ip: bool,
}

/// Our condition in `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) status: bool,
    pub(super) reason: String,
    pub(super) message: String,
    /// `lastTransitionTime` as written.
    pub(super) since: String,
}

/// A service as the watch has it: none if addresses have nothing to do with it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: ServiceKey,
    pub(super) version: String,
    pub(super) service: Option<Service>,
}

impl Service {
    /// Whether it names us.
    pub(super) fn names_us(&self) -> bool {
        self.class.as_deref() == Some(CLASS)
    }

    /// The addresses in its status.
    pub(super) fn held(&self) -> impl Iterator<Item = IpAddr> {
        self.ingress.iter().filter_map(|ingress| ingress.address)
    }

    fn read(object: &Value) -> Option<Self> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let list = |path: &str| object.pointer(path).and_then(Value::as_array).into_iter().flatten();
        let balanced = text("/spec/type") == "LoadBalancer";
        let ingress: Vec<_> = list("/status/loadBalancer/ingress").map(Ingress::read).collect();
        let external: Vec<_> = list("/spec/externalIPs").filter_map(address).collect();
        let condition = list("/status/conditions").find_map(Condition::read);
        if !balanced && ingress.is_empty() && condition.is_none() && external.is_empty() {
            return None;
        }
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        Some(Self {
            version: text("/metadata/resourceVersion").to_owned(),
            created: text("/metadata/creationTimestamp").to_owned(),
            labels: labels.into_iter().flatten().filter_map(label).collect(),
            deleting: object.pointer("/metadata/deletionTimestamp").is_some(),
            balanced,
            class: object
                .pointer("/spec/loadBalancerClass")
                .and_then(Value::as_str)
                .map(str::to_owned),
            wish: if balanced { Wish::read(object) } else { Wish::default() },
            external,
            ingress,
            condition,
        })
    }
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

impl Wish {
    fn read(object: &Value) -> Self {
        let text = |path: &str| {
            let text = object.pointer(path).and_then(Value::as_str).map(str::trim);
            text.filter(|text| !text.is_empty())
        };
        let annotations = object.pointer("/metadata/annotations");
        let annotation = |name: &str| {
            let text = annotations.and_then(|all| all.get(name)).and_then(Value::as_str);
            text.map(str::trim).filter(|text| !text.is_empty())
        };
        let list = |path: &str| object.pointer(path).and_then(Value::as_array).into_iter().flatten();
        let mut families = [false; 2];
        for family in Family::BOTH {
            families[family.index()] = list("/spec/ipFamilies").any(|name| name == family.name());
        }
        if families == [false; 2] {
            // An API server fills in both; this is what else it could be.
            for address in list("/spec/clusterIPs").filter_map(address) {
                families[Family::of(address).index()] = true;
            }
        }
        let mut wish = Self {
            families,
            all: text("/spec/ipFamilyPolicy") != Some("PreferDualStack"),
            pool: annotation(POOL).map(str::to_owned),
            ..Self::default()
        };
        match (annotation(ADDRESSES), text("/spec/loadBalancerIP")) {
            (Some(given), _) => wish.ask(&format!("annotation {ADDRESSES}"), given),
            (None, Some(given)) => wish.ask("spec.loadBalancerIP", given),
            (None, None) => {}
        }
        wish
    }

    fn ask(&mut self, field: &str, given: &str) {
        for text in given.split(',').map(str::trim) {
            let Ok(address) = text.parse::<IpAddr>() else {
                self.nonsense = Some(format!("{field}: {text:?} is no IP address"));
                continue;
            };
            let family = Family::of(address);
            let slot = &mut self.addresses[family.index()];
            if !self.families[family.index()] {
                let name = family.name();
                self.nonsense = Some(format!(
                    "{field}: {address} is an {name} address, and spec.ipFamilies of the service has no {name}"
                ));
            } else if slot.is_some_and(|other| other != address) {
                let name = family.name();
                self.nonsense = Some(format!("{field}: {given:?} has more than one {name} address"));
            } else {
                *slot = Some(address);
            }
        }
    }
}

impl Ingress {
    fn read(value: &Value) -> Self {
        Self {
            address: value.get("ip").and_then(address),
            virtual_ip: value.get("ipMode").is_none_or(|mode| mode == "VIP"),
        }
    }
}

impl Condition {
    fn read(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        (text("type") == ALLOCATED).then(|| Self {
            status: text("status") == "True",
            reason: text("reason").to_owned(),
            message: text("message").to_owned(),
            since: text("lastTransitionTime").to_owned(),
        })
    }
}

impl Entry {
    pub(super) fn read(object: &Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        Self {
            key: ServiceKey::new(text("/metadata/namespace"), text("/metadata/name")),
            version: text("/metadata/resourceVersion").to_owned(),
            service: Service::read(object),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(&Value::deserialize(deserializer)?))
    }
}

impl Seen for Entry {
    type Kind = core::Service;

    fn version(&self) -> Option<&str> {
        Some(&self.version)
    }

    fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
