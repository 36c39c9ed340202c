//! The call's parameters: the `CNI_*` environment variables.

use std::path::PathBuf;

use super::{CniError, Code};
use crate::name::MAX_DEVICE_NAME;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach it.
    Del,
    /// Is it still attached as ADD said?
    Check,
    /// Remove what belongs to no attachment in the configuration's list.
    Gc,
    /// Could ADD succeed?
    Status,
    /// Which versions are spoken?
    Version,
}

impl Command {
    const ALL: [(&'static str, Self); 6] = [
        ("ADD", Self::Add),
        ("DEL", Self::Del),
        ("CHECK", Self::Check),
        ("GC", Self::Gc),
        ("STATUS", Self::Status),
        ("VERSION", Self::Version),
    ];

    /// Reads `CNI_COMMAND`.
    pub fn parse(text: Option<&str>) -> Result<Self, CniError> {
        let wrong = |message| CniError::new(Code::InvalidEnvironment, message);
        let text = text.ok_or_else(|| wrong("CNI_COMMAND is not set".to_owned()))?;
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == text)
            .map(|(_, command)| command)
            .ok_or_else(|| wrong(format!("CNI_COMMAND is {text:?}, which is no command")))
    }

    fn attaches(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }
}

/// A container's interface: what ADD, DEL and CHECK are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The sandbox.
    pub container_id: String,
    /// The interface's name in it.
    pub ifname: String,
    /// Its network namespace; DEL may come without.
    pub netns: Option<PathBuf>,
    /// `K8S_POD_NAMESPACE` of `CNI_ARGS`.
    pub namespace: Option<String>,
    /// `K8S_POD_NAME` of `CNI_ARGS`.
    pub pod: Option<String>,
    /// `K8S_POD_UID` of `CNI_ARGS`.
    pub uid: Option<String>,
}

/// A call's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// What to do.
    pub command: Command,
    /// To what; none for GC, STATUS and VERSION.
    pub attachment: Option<Attachment>,
}

impl Params {
    /// Reads the variables; an error names every one that is missing, and the first that is wrong.
    pub fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        // An empty variable is how some runtimes say that there is none.
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let command = Command::parse(get("CNI_COMMAND").as_deref())?;
        if !command.attaches() {
            return Ok(Self {
                command,
                attachment: None,
            });
        }
        let mut required = vec!["CNI_CONTAINERID", "CNI_IFNAME"];
        if command != Command::Del {
            required.push("CNI_NETNS");
        }
        required.retain(|name| get(name).is_none());
        if !required.is_empty() {
            return Err(CniError::new(
                Code::InvalidEnvironment,
                format!("required environment variables are not set: {}", required.join(", ")),
            ));
        }
        let args = get("CNI_ARGS").unwrap_or_default();
        let argument = |key| argument(&args, key).filter(|value| !value.is_empty());
        Ok(Self {
            command,
            attachment: Some(Attachment {
                container_id: container_id(get("CNI_CONTAINERID").unwrap_or_default())?,
                ifname: ifname(get("CNI_IFNAME").unwrap_or_default())?,
                netns: get("CNI_NETNS").map(PathBuf::from),
                namespace: argument("K8S_POD_NAMESPACE").map(str::to_owned),
                pod: argument("K8S_POD_NAME").map(str::to_owned),
                uid: argument("K8S_POD_UID").map(str::to_owned),
            }),
        })
    }
}

impl Attachment {
    /// The pod, which ADD needs.
    pub fn require_pod(&self) -> Result<(&str, &str), CniError> {
        match (&self.namespace, &self.pod) {
            (Some(namespace), Some(pod)) => Ok((namespace, pod)),
            _ => Err(CniError::new(
                Code::InvalidEnvironment,
                "CNI_ARGS names no pod: K8S_POD_NAMESPACE and K8S_POD_NAME are required",
            )),
        }
    }

    /// The network namespace, which ADD and CHECK have (`Params::parse` saw to it).
    pub fn require_netns(&self) -> Result<&PathBuf, CniError> {
        self.netns
            .as_ref()
            .ok_or_else(|| CniError::new(Code::InvalidEnvironment, "CNI_NETNS is not set"))
    }
}

/// A value of `K1=V1;K2=V2`.
fn argument<'a>(args: &'a str, key: &str) -> Option<&'a str> {
    args.split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

fn container_id(id: String) -> Result<String, CniError> {
    let first = id.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if first && rest {
        return Ok(id);
    }
    Err(CniError::new(
        Code::InvalidEnvironment,
        format!("CNI_CONTAINERID is {id:?}, which is no container id"),
    ))
}

fn ifname(name: String) -> Result<String, CniError> {
    let sound = name.len() <= MAX_DEVICE_NAME
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
    if sound {
        return Ok(name);
    }
    Err(CniError::new(
        Code::InvalidEnvironment,
        format!("CNI_IFNAME is {name:?}, which is no interface name"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Params, CniError> {
        Params::parse(|name| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some((*value).to_owned())
        })
    }

    const ADD: [(&str, &str); 4] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_IFNAME", "eth0"),
    ];

    #[test]
    fn a_missing_command_is_an_environment_error() {
        let error = parse(&[]).unwrap_err();
        assert_eq!((error.code.number(), error.message.contains("CNI_COMMAND")), (4, true));
        assert_eq!(parse(&[("CNI_COMMAND", "add")]).unwrap_err().code.number(), 4);
    }

    #[test]
    fn every_missing_variable_is_named() {
        let error = parse(&[("CNI_COMMAND", "ADD"), ("CNI_NETNS", "")]).unwrap_err();
        assert_eq!(error.code, Code::InvalidEnvironment);
        for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS"] {
            assert!(error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn deletion_needs_no_network_namespace() {
        let variables = [
            ("CNI_COMMAND", "DEL"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_IFNAME", "eth0"),
        ];
        assert_eq!(parse(&variables).unwrap().attachment.unwrap().netns, None);
    }

    #[test]
    fn the_pod_is_in_the_arguments() {
        let mut variables = ADD.to_vec();
        let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=web-0;K8S_POD_UID=u-1";
        variables.push(("CNI_ARGS", args));
        let attachment = parse(&variables).unwrap().attachment.unwrap();
        assert_eq!(attachment.require_pod(), Ok(("ns", "web-0")));
        assert_eq!(attachment.uid.as_deref(), Some("u-1"));
        let without = parse(&ADD).unwrap().attachment.unwrap();
        assert_eq!(without.require_pod().unwrap_err().code.number(), 4);
    }

    #[test]
    fn ids_and_names_that_could_escape_a_path_are_refused() {
        for (name, value) in [
            ("CNI_CONTAINERID", "../c"),
            ("CNI_CONTAINERID", "-c"),
            ("CNI_IFNAME", "a/b"),
            ("CNI_IFNAME", "sixteen-bytes-xx"),
            ("CNI_IFNAME", ".."),
        ] {
            let variables: Vec<_> = ADD
                .iter()
                .map(|(key, good)| (*key, if *key == name { value } else { *good }))
                .collect();
            let error = parse(&variables).unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
    }
}
