//! The capability `bandwidth`: how fast a pod may receive and send.
//!
//! The runtime passes `kubernetes.io/ingress-bandwidth` and `kubernetes.io/egress-bandwidth` of a pod as
//! `runtimeConfig.bandwidth`.

use serde::Deserialize;

use super::{CniError, Code, Config};
use crate::name::PRIMARY_INTERFACE;

/// Runtimes that have no annotation for bursts pass a number that is as good as none (containerd 2³²-1, others 2³¹-1 bits):
/// taken at its word, a quarter or half a gigabyte would pass before the limit holds.
const NO_OPINION: i128 = i32::MAX as i128;

/// What a pod may receive and send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bandwidth {
    /// Into the pod.
    pub ingress: Option<Limit>,
    /// Out of the pod.
    pub egress: Option<Limit>,
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Bytes a second.
    pub rate: u64,
    /// Bytes at once, where the runtime has an opinion.
    pub burst: Option<u64>,
}

/// In bits a second, and bits. containerd before 2.0 begins the names with a capital, which plugins in Go do not notice.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(alias = "IngressRate")]
    ingress_rate: Option<i128>,
    #[serde(alias = "IngressBurst")]
    ingress_burst: Option<i128>,
    #[serde(alias = "EgressRate")]
    egress_rate: Option<i128>,
    #[serde(alias = "EgressBurst")]
    egress_burst: Option<i128>,
}

impl Bandwidth {
    /// What the runtime passed for an interface. Meta-plugins hand what is said of the pod on to each of its interfaces, and it
    /// is meant for the first.
    pub fn of_interface(config: &Config, interface: &str) -> Result<Self, CniError> {
        if interface == PRIMARY_INTERFACE {
            Self::of(config)
        } else {
            Ok(Self::default())
        }
    }

    /// Reads and checks what the runtime passed. Only for who is to set or compare it: DEL of a pod must not fail for it.
    pub fn of(config: &Config) -> Result<Self, CniError> {
        let runtime = config.runtime_config.as_ref();
        let bandwidth = runtime.and_then(|runtime| runtime.get("bandwidth"));
        let Some(bandwidth) = bandwidth.filter(|bandwidth| !bandwidth.is_null()) else {
            return Ok(Self::default());
        };
        let raw = Raw::deserialize(bandwidth).map_err(|error| invalid(&format!(": {error}")))?;
        Ok(Self {
            ingress: limit("ingress", raw.ingress_rate, raw.ingress_burst)?,
            egress: limit("egress", raw.egress_rate, raw.egress_burst)?,
        })
    }
}

fn limit(direction: &str, rate: Option<i128>, burst: Option<i128>) -> Result<Option<Limit>, CniError> {
    for (what, value) in [("Rate", rate), ("Burst", burst)] {
        if let Some(value) = value.filter(|value| *value < 0) {
            return Err(invalid(&format!(
                ".{direction}{what} is {value}: it cannot be negative"
            )));
        }
    }
    let rate = rate.unwrap_or_default();
    match burst {
        // Nought for both is how some say that there is no limit.
        None | Some(0) if rate == 0 => return Ok(None),
        Some(burst) if rate == 0 => {
            let message = format!(".{direction}Burst is {burst} without {direction}Rate");
            return Err(invalid(&message));
        }
        Some(0) => {
            let message = format!(".{direction}Burst is 0 with {direction}Rate {rate}: nothing could pass");
            return Err(invalid(&message));
        }
        _ => {}
    }
    if rate < 8 {
        return Err(invalid(&format!(
            ".{direction}Rate is {rate}: expected at least 8 bits a second"
        )));
    }
    let bytes = |bits: i128| u64::try_from(bits / 8).unwrap_or(u64::MAX);
    Ok(Some(Limit {
        rate: bytes(rate),
        burst: burst.filter(|burst| *burst < NO_OPINION).map(bytes),
    }))
}

fn invalid(what: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("runtimeConfig.bandwidth{what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(bandwidth: &Value) -> Result<Bandwidth, CniError> {
        let config = json!({"cniVersion": "1.0.0", "name": "m", "runtimeConfig": {"bandwidth": bandwidth}});
        Bandwidth::of(&Config::parse(&config.to_string()).unwrap())
    }

    #[test]
    fn capital_names_of_older_runtimes_are_understood() {
        let capitals =
            json!({"IngressRate": 8000, "IngressBurst": u32::MAX, "EgressRate": 16_000, "EgressBurst": u32::MAX});
        let parsed = parse(&capitals).unwrap();
        assert_eq!(parsed.ingress.map(|limit| limit.rate), Some(1000));
        assert_eq!(parsed.egress.map(|limit| limit.rate), Some(2000));
    }

    #[test]
    fn rates_and_bursts_come_in_bits() {
        let parsed = parse(&json!({"ingressRate": 8000, "ingressBurst": 800, "egressRate": 16_000})).unwrap();
        let ingress = Limit {
            rate: 1000,
            burst: Some(100),
        };
        let egress = Limit {
            rate: 2000,
            burst: None,
        };
        assert_eq!((parsed.ingress, parsed.egress), (Some(ingress), Some(egress)));
    }

    #[test]
    fn a_pods_limits_are_its_first_interfaces() {
        let config = r#"{"cniVersion":"1.0.0","name":"m","runtimeConfig":{"bandwidth":{"ingressRate":8000}}}"#;
        let config = Config::parse(config).unwrap();
        let of = |interface| Bandwidth::of_interface(&config, interface).unwrap();
        assert!(of("eth0").ingress.is_some());
        assert_eq!(of("net1"), Bandwidth::default());
    }

    #[test]
    fn no_limit_is_said_in_many_ways() {
        for none in [
            json!(null),
            json!({}),
            json!({"ingressRate": 0, "ingressBurst": 0, "egressRate": 0, "egressBurst": 0}),
        ] {
            assert_eq!(parse(&none), Ok(Bandwidth::default()), "{none}");
        }
        let without = Config::parse(r#"{"cniVersion":"1.0.0","name":"m"}"#).unwrap();
        assert_eq!(Bandwidth::of(&without), Ok(Bandwidth::default()));
    }

    #[test]
    fn a_burst_for_want_of_an_annotation_is_none() {
        for burst in [u64::from(u32::MAX), 0x7fff_ffff, u64::MAX] {
            let parsed = parse(&json!({"egressRate": 8000, "egressBurst": burst})).unwrap();
            assert_eq!(parsed.egress.unwrap().burst, None, "{burst}");
        }
    }

    #[test]
    fn what_cannot_be_names_its_field() {
        for (wrong, field) in [
            (json!({"ingressRate": -1, "ingressBurst": 8}), ".ingressRate is -1"),
            (json!({"egressRate": 8, "egressBurst": -8}), ".egressBurst is -8"),
            (json!({"egressRate": 8, "egressBurst": 0}), ".egressBurst is 0"),
            (json!({"ingressBurst": 8}), ".ingressBurst is 8 without ingressRate"),
            (json!({"ingressRate": 7}), ".ingressRate is 7"),
            (json!({"ingressRate": "fast"}), "invalid type: string \"fast\""),
        ] {
            let error = parse(&wrong).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfig);
            assert!(error.message.contains(field), "{error}");
        }
    }
}
