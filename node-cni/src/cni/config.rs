//! The network configuration on standard input.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{CniError, Code, Version};

const OVS_SOCKET: &str = "/run/openvswitch/db.sock";
const AGENT_SOCKET: &str = "/run/meridian/node.sock";
const BRIDGE: &str = "br-int";
/// The runtime waits four minutes for a sandbox; a pod's events should tell the reason well before that.
const ADD_TIMEOUT: u64 = 60;
/// Nothing else waits for more than a local daemon's restart.
const TIMEOUT: u64 = 15;

/// A configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The version results must have.
    pub version: Version,
    /// The network's name.
    pub network: String,
    /// Open vSwitch's database.
    pub ovs_socket: PathBuf,
    /// The node agent.
    pub agent_socket: PathBuf,
    /// The integration bridge.
    pub bridge: String,
    /// Overrides the MTU that the agent tells.
    pub mtu: Option<u16>,
    /// Stands before `<namespace>_<pod>` in port names, where clusters share a Northbound database.
    pub port_prefix: String,
    /// How long ADD may take.
    pub add_timeout: Duration,
    /// How long anything else may take.
    pub timeout: Duration,
    /// Where to log; nowhere if unset.
    pub log_file: Option<PathBuf>,
    /// What to log.
    pub log_level: LogLevel,
    /// DNS settings to hand on in results.
    pub dns: Option<Value>,
    /// What ADD returned, for CHECK and DEL.
    pub prev_result: Option<Value>,
    /// What the runtime adds for the capabilities of the configuration.
    pub runtime_config: Option<Value>,
    /// `(container id, interface)` of every attachment that exists, for GC.
    pub valid_attachments: Option<Vec<(String, String)>>,
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures.
    Error,
    /// And each call with its outcome.
    #[default]
    Info,
    /// And each step with its time.
    Debug,
}

/// As written; fields of others (`type`, `capabilities`, `args`, …) are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    name: String,
    ovs_socket: Option<String>,
    agent_socket: Option<PathBuf>,
    bridge: Option<String>,
    mtu: Option<u16>,
    #[serde(default)]
    port_prefix: String,
    add_timeout: Option<u64>,
    timeout: Option<u64>,
    log_file: Option<PathBuf>,
    #[serde(default)]
    log_level: LogLevel,
    dns: Option<Value>,
    prev_result: Option<Value>,
    runtime_config: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<RawAttachment>>,
}

#[derive(Deserialize)]
struct RawAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVersion {
    cni_version: Option<String>,
}

impl Config {
    /// Only the version, which error results need first of all.
    pub fn version(input: &str) -> Result<Version, CniError> {
        let raw: RawVersion = decode(input)?;
        // The specification's default for a configuration without the field is 0.1.0, which nobody speaks any more.
        Version::parse(raw.cni_version.as_deref().unwrap_or("0.1.0"))
    }

    /// Reads and checks a configuration.
    pub fn parse(input: &str) -> Result<Self, CniError> {
        let version = Self::version(input)?;
        let raw: Raw = decode(input)?;
        let invalid = |message: String| CniError::new(Code::InvalidConfig, message);
        if raw.name.is_empty() {
            return Err(invalid("name is missing: the network's name is required".to_owned()));
        }
        let ovs_socket = raw.ovs_socket.as_deref().unwrap_or(OVS_SOCKET);
        let ovs_path = PathBuf::from(ovs_socket.strip_prefix("unix:").unwrap_or(ovs_socket));
        if !ovs_path.is_absolute() {
            return Err(invalid(format!(
                "ovsSocket is {ovs_socket:?}: expected unix:/path or /path"
            )));
        }
        // The smallest MTU an IPv6 link may have is 1280; below 576 not even DNS gets through.
        if let Some(mtu) = raw.mtu.filter(|mtu| *mtu < 576) {
            return Err(invalid(format!("mtu is {mtu}: expected at least 576")));
        }
        Ok(Self {
            version,
            network: raw.name,
            ovs_socket: ovs_path,
            agent_socket: raw.agent_socket.unwrap_or_else(|| AGENT_SOCKET.into()),
            bridge: raw.bridge.unwrap_or_else(|| BRIDGE.to_owned()),
            mtu: raw.mtu,
            port_prefix: raw.port_prefix,
            add_timeout: Duration::from_secs(raw.add_timeout.unwrap_or(ADD_TIMEOUT)),
            timeout: Duration::from_secs(raw.timeout.unwrap_or(TIMEOUT)),
            log_file: raw.log_file,
            log_level: raw.log_level,
            dns: raw.dns.filter(|dns| !dns.is_null()),
            prev_result: raw.prev_result.filter(|result| !result.is_null()),
            runtime_config: raw.runtime_config,
            valid_attachments: raw.valid_attachments.map(|attachments| {
                attachments
                    .into_iter()
                    .map(|attachment| (attachment.container_id, attachment.ifname))
                    .collect()
            }),
        })
    }

    /// GC and STATUS exist from 1.1.0 on.
    pub fn require(&self, since: Version, command: &str) -> Result<(), CniError> {
        if self.version >= since {
            return Ok(());
        }
        Err(CniError::new(
            Code::IncompatibleVersion,
            format!(
                "{command} exists from CNI {since} on; the configuration says {}",
                self.version
            ),
        ))
    }
}

fn decode<'a, T: Deserialize<'a>>(input: &'a str) -> Result<T, CniError> {
    serde_json::from_str(input).map_err(|error| {
        // serde_json says where: "expected value at line 1 column 1".
        if error.is_data() {
            CniError::new(Code::InvalidConfig, format!("invalid network configuration: {error}"))
        } else {
            CniError::new(
                Code::Decoding,
                format!("the network configuration is not JSON: {error}"),
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_a_name_and_a_version_only() {
        let config = Config::parse(r#"{"cniVersion":"1.0.0","name":"meridian","type":"meridian-cni"}"#).unwrap();
        assert_eq!(config.ovs_socket, PathBuf::from("/run/openvswitch/db.sock"));
        assert_eq!(config.agent_socket, PathBuf::from("/run/meridian/node.sock"));
        assert_eq!((config.bridge.as_str(), config.mtu), ("br-int", None));
        assert_eq!(config.log_level, LogLevel::Info);
    }

    #[test]
    fn garbage_is_a_decoding_error_that_says_where() {
        for garbage in ["", "nonsense", "{\"cniVersion\": \"1.1.0\",,}"] {
            let error = Config::parse(garbage).unwrap_err();
            assert_eq!(error.code.number(), 6, "{garbage:?}");
            assert!(error.message.contains("line 1 column"), "{error}");
        }
    }

    #[test]
    fn a_field_of_the_wrong_type_is_an_invalid_configuration() {
        let error = Config::parse(r#"{"cniVersion":"1.1.0","name":"m","mtu":"big"}"#).unwrap_err();
        assert_eq!(error.code.number(), 7);
        assert!(error.message.contains("column"), "{error}");
    }

    #[test]
    fn values_that_cannot_work_are_an_invalid_configuration() {
        for wrong in [
            r#"{"cniVersion":"1.1.0"}"#,
            r#"{"cniVersion":"1.1.0","name":"m","mtu":68}"#,
            r#"{"cniVersion":"1.1.0","name":"m","ovsSocket":"tcp:127.0.0.1:6640"}"#,
        ] {
            assert_eq!(Config::parse(wrong).unwrap_err().code.number(), 7, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_version_is_told_which_are_known() {
        for wrong in [r#"{"cniVersion":"0.3.1","name":"m"}"#, r#"{"name":"m"}"#] {
            let error = Config::parse(wrong).unwrap_err();
            assert_eq!(error.code.number(), 1);
            assert_eq!(error.details, "supported: 0.4.0, 1.0.0, 1.1.0");
        }
    }

    #[test]
    fn valid_attachments_are_pairs() {
        let config = Config::parse(
            r#"{"cniVersion":"1.1.0","name":"m",
                "cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}]}"#,
        );
        let attachments = config.unwrap().valid_attachments.unwrap();
        assert_eq!(attachments, [("c1".to_owned(), "eth0".to_owned())]);
    }
}
