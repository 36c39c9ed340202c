//! The CNI plugin: one call, from environment and standard input to standard output and exit code.
//!
//! Must not need an async runtime, Kubernetes, the translator or another program. Everything it makes has a name that
//! follows from the attachment, so that it keeps no record of its own and may be killed at any moment.

mod add;
mod agent;
mod check;
mod del;
mod gc;
mod link;
mod ovs;
mod status;
mod trace;
mod wait;

pub use link::USERSPACE;
pub use ovs::key;
pub use trace::Step;

use serde_json::{Value, json};

use crate::cni::{CniError, Command, Config, LogLevel, Params, Version};
use trace::Trace;

/// What a call prints and how it exits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// For standard output.
    pub stdout: Option<Value>,
    /// Exited with 1 otherwise.
    pub success: bool,
}

/// Answers a call.
pub fn run(variable: impl Fn(&str) -> Option<String>, input: &[u8]) -> Output {
    // An error result should be in the caller's version, as far as that can be made out.
    let mut version = Version::LATEST;
    let result = answer(variable, input, &mut version);
    match result {
        Ok(stdout) => Output { stdout, success: true },
        Err(error) => Output {
            stdout: Some(error.to_json(version)),
            success: false,
        },
    }
}

/// What a person who runs the plugin is told.
pub fn about() -> String {
    format!(
        "meridian-cni {}: a CNI plugin, run by the container runtime with CNI_COMMAND and a configuration on standard input.\n\
         CNI versions: {}. Configuration: `meridian-node run` writes it.",
        env!("CARGO_PKG_VERSION"),
        Version::ALL.map(Version::as_str).join(", "),
    )
}

/// The error result of a panic.
pub fn panicked(what: &str) -> Value {
    let message = format!("bug in meridian-cni: {what}");
    CniError::new(crate::cni::Code::Internal, message).to_json(Version::LATEST)
}

fn answer(
    variable: impl Fn(&str) -> Option<String>,
    input: &[u8],
    version: &mut Version,
) -> Result<Option<Value>, CniError> {
    let params = Params::parse(variable)?;
    let input = String::from_utf8_lossy(input);
    if params.command == Command::Version {
        return Ok(Some(versions(&input)));
    }
    *version = Config::version(&input)?;
    let config = Config::parse(&input)?;
    let label = match &params.attachment {
        Some(attachment) => format!(
            "{:?} {} {}/{}",
            params.command,
            attachment.container_id,
            attachment.namespace.as_deref().unwrap_or("-"),
            attachment.pod.as_deref().unwrap_or("-"),
        ),
        None => format!("{:?}", params.command),
    };
    let trace = Trace::open(&config, label);
    let result = dispatch(&config, &params, &trace);
    match &result {
        Ok(_) => trace.log(LogLevel::Info, "done"),
        Err(error) => trace.log(LogLevel::Error, &error.to_string()),
    }
    result
}

fn dispatch(config: &Config, params: &Params, trace: &Trace) -> Result<Option<Value>, CniError> {
    let attachment = params.attachment.as_ref();
    match (params.command, attachment) {
        (Command::Add, Some(attachment)) => {
            let result = add::add(config, attachment, trace)?;
            return Ok(Some(result.to_json(config.version)));
        }
        (Command::Del, Some(attachment)) => del::del(config, attachment, trace)?,
        (Command::Check, Some(attachment)) => check::check(config, attachment)?,
        (Command::Gc, _) => gc::gc(config)?,
        (Command::Status, _) => status::status(config)?,
        (Command::Version, _) => {}
        (Command::Add | Command::Del | Command::Check, None) => {
            unreachable!("Params::parse gives these commands an attachment")
        }
    }
    Ok(None)
}

/// VERSION answers whatever the configuration is like: it is asked in order to find a version both sides know.
fn versions(input: &str) -> Value {
    let asked = serde_json::from_str::<Value>(input).ok();
    let asked = asked.as_ref().and_then(|config| config["cniVersion"].as_str());
    json!({
        "cniVersion": asked.unwrap_or(Version::LATEST.as_str()),
        "supportedVersions": Version::ALL.map(Version::as_str),
    })
}
