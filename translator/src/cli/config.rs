//! Checked choices. Every group of flags is taken apart completely, so that a flag nobody uses does not compile.

use std::net::SocketAddr;
use std::time::Duration;

use meridian_api::chassis::mark;
use meridian_compile::{ConfigError, Settings};
use meridian_northbound::{DeletionBudget, Ownership};
use ovsdb::{Remote, SessionConfig};

use super::args::{NetworkArgs, OutputArg, PlanArgs, RenderArgs, RunArgs, SourceArgs};
use super::database;
use crate::chassis;
use crate::source::Source;
use crate::source::kubernetes::Access;
use meridian_model::ServiceKey;

/// Flags that make no sense.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The networks.
    #[error(transparent)]
    Network(#[from] ConfigError),
    /// The remotes.
    #[error("--{flag}: {error}")]
    Remotes {
        /// Of which flag.
        flag: &'static str,
        /// What is wrong with them.
        error: ovsdb::remote::RemoteError,
    },
    /// The budget.
    #[error("--deletion-budget: {0}")]
    Budget(#[from] meridian_northbound::writer::BudgetError),
    /// `ssl:` without an authority.
    #[error("--{flag} {remote}: an ssl: remote needs --tls-ca")]
    NoAuthority {
        /// Of which flag.
        flag: &'static str,
        /// Which.
        remote: Remote,
    },
    /// Half a certificate.
    #[error("--tls-private-key and --tls-certificate go together")]
    HalfCertificate,
    /// A name that OVSDB takes for no `<id>` (RFC 7047, section 3.1).
    #[error("--lock-name {0:?} must consist of letters, digits and _, and not begin with a digit")]
    LockName(String),
    /// Whom a path leads to.
    #[error("{0}")]
    Target(#[from] super::target::TargetError),
}

/// `run`.
#[derive(Debug)]
pub struct RunConfig {
    /// The cluster's networks.
    pub compile: meridian_compile::Config,
    /// Where objects come from.
    pub source: Source,
    /// The Northbound database, with the lock.
    pub session: SessionConfig,
    /// Which rows are ours.
    pub ownership: Ownership,
    /// The lock.
    pub lock: String,
    /// How much may be deleted at once.
    pub budget: DeletionBudget,
    /// The Southbound database, with a lock of its own, and what is removed from it.
    pub southbound: Option<(SessionConfig, chassis::Settings)>,
    /// Where to serve health and metrics.
    pub listen: SocketAddr,
}

/// `render`.
#[derive(Debug)]
pub struct RenderConfig {
    /// The cluster's networks.
    pub compile: meridian_compile::Config,
    /// Where objects come from.
    pub source: Source,
    /// How long to wait.
    pub timeout: Duration,
    /// How to print.
    pub output: OutputArg,
}

/// `plan`.
#[derive(Debug)]
pub struct PlanConfig {
    /// The cluster's networks.
    pub compile: meridian_compile::Config,
    /// Where objects come from.
    pub source: Source,
    /// The Northbound database, without a lock.
    pub session: SessionConfig,
    /// Which rows are ours.
    pub ownership: Ownership,
    /// How long to wait.
    pub timeout: Duration,
    /// How to print.
    pub output: OutputArg,
}

impl TryFrom<RunArgs> for RunConfig {
    type Error = Error;

    fn try_from(args: RunArgs) -> Result<Self, Error> {
        let RunArgs {
            network,
            source,
            northbound,
            southbound,
            lock_name,
            deletion_budget,
            listen,
        } = args;
        let lock = match (lock_name, &network.cluster_id) {
            (Some(name), _) if !is_ovsdb_id(&name) => return Err(Error::LockName(name)),
            (Some(name), _) => name,
            // Cluster ids have no underscore, so that no two of them make the same name.
            (None, Some(id)) => format!("meridian_translator_{}", id.replace('-', "_")),
            (None, None) => "meridian_translator".to_owned(),
        };
        let ownership = Ownership::new(network.cluster_id.as_deref());
        let budget: DeletionBudget = deletion_budget
            .map(|text| text.parse())
            .transpose()?
            .unwrap_or_default();
        let (session, tls) = database::northbound(northbound)?;
        let southbound = southbound
            .map(|text| {
                // A server that has both databases knows one set of locks.
                let lock = format!("southbound_{lock}");
                let session = tls
                    .session("southbound", chassis::DATABASE, &text)?
                    .with_monitors(chassis::monitors())
                    .with_leader_only(true)
                    .with_lock(&lock);
                let settings = chassis::Settings::new(mark(network.cluster_id.as_deref()), lock, budget);
                Ok::<_, Error>((session, settings))
            })
            .transpose()?;
        Ok(Self {
            compile: compile_config(network)?,
            source: source.into(),
            // Only the leader lets a writer read its own writes at once, and keeps locks for the whole cluster.
            session: session.with_leader_only(true).with_lock(&lock),
            ownership,
            lock,
            budget,
            southbound,
            listen,
        })
    }
}

impl TryFrom<RenderArgs> for RenderConfig {
    type Error = Error;

    fn try_from(args: RenderArgs) -> Result<Self, Error> {
        let RenderArgs {
            network,
            source,
            timeout,
            output,
        } = args;
        Ok(Self {
            compile: compile_config(network)?,
            source: source.into(),
            timeout: Duration::from_secs(timeout),
            output,
        })
    }
}

impl TryFrom<PlanArgs> for PlanConfig {
    type Error = Error;

    fn try_from(args: PlanArgs) -> Result<Self, Error> {
        let PlanArgs {
            network,
            source,
            northbound,
            timeout,
            output,
        } = args;
        let ownership = Ownership::new(network.cluster_id.as_deref());
        Ok(Self {
            compile: compile_config(network)?,
            source: source.into(),
            session: database::northbound(northbound)?.0,
            ownership,
            timeout: Duration::from_secs(timeout),
            output,
        })
    }
}

impl From<SourceArgs> for Source {
    fn from(args: SourceArgs) -> Self {
        let SourceArgs {
            manifests,
            kubeconfig,
            context,
        } = args;
        match manifests {
            Some(folder) => Self::Manifests(folder),
            None => Self::Kubernetes(Access { kubeconfig, context }),
        }
    }
}

/// `<id>` of RFC 7047, section 3.1.
fn is_ovsdb_id(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(word) && name.chars().next().is_some_and(|c| !c.is_ascii_digit())
}

/// A name alone is one in `default`.
pub(super) fn service_key(name: &str) -> ServiceKey {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    ServiceKey::new(namespace, name)
}

pub(super) fn compile_config(args: NetworkArgs) -> Result<meridian_compile::Config, Error> {
    let NetworkArgs {
        cluster_cidr,
        service_cidr,
        service_node_port_range,
        cluster_id,
        host_slice_v4,
        host_slice_v6,
        mtu,
        shared_service,
        egress_cidr,
    } = args;
    Ok(meridian_compile::Config::new(Settings {
        cluster_id,
        cluster_cidrs: cluster_cidr,
        service_cidrs: service_cidr,
        node_port_range: service_node_port_range,
        host_slice_v4,
        host_slice_v6,
        mtu,
        shared_services: shared_service.iter().map(|name| service_key(name)).collect(),
        egress_cidrs: egress_cidr,
    })?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{CommandArgs, CommandLine};

    fn run(flags: &[&str]) -> Result<RunConfig, Error> {
        let line = CommandLine::parse_from(["meridian-translator", "run"].iter().chain(flags));
        let CommandArgs::Run(args) = line.command else {
            panic!("not run")
        };
        args.try_into()
    }

    #[test]
    fn the_flags_are_well_formed() {
        use clap::CommandFactory as _;
        CommandLine::command().debug_assert();
    }

    #[test]
    fn defaults_make_a_working_configuration() {
        let config = run(&[]).unwrap();
        assert_eq!(config.lock, "meridian_translator");
        assert_eq!(config.compile.cluster_cidrs()[0].to_string(), "10.244.0.0/16");
        assert_eq!(config.session.remotes[0].to_string(), "unix:/var/run/ovn/ovnnb_db.sock");
        assert_eq!(config.source, Source::Kubernetes(Access::default()));
    }

    #[test]
    fn the_lock_is_named_after_the_cluster() {
        assert_eq!(
            run(&["--cluster-id", "east-1"]).unwrap().lock,
            "meridian_translator_east_1"
        );
    }

    #[test]
    fn the_southbound_database_is_optional_and_has_a_lock_and_a_mark_of_its_own() {
        assert!(run(&[]).unwrap().southbound.is_none());
        let flags = [
            "--southbound",
            "ssl:h:6642",
            "--tls-ca",
            "ca.pem",
            "--cluster-id",
            "east",
        ];
        let (session, settings) = run(&flags).unwrap().southbound.unwrap();
        assert_eq!((&*session.database, session.leader_only), ("OVN_Southbound", true));
        assert!(session.tls.is_some());
        assert_eq!(session.lock.as_ref(), Some(&settings.lock));
        assert_eq!(settings.lock, "southbound_meridian_translator_east");
        assert_eq!(settings.mark, "meridian-node:east");
    }

    #[test]
    fn flags_that_make_no_sense_are_named() {
        let error = |flags: &[&str]| run(flags).unwrap_err().to_string();
        assert!(error(&["--northbound", "10.0.0.1:6641"]).starts_with("--northbound: "));
        assert!(error(&["--deletion-budget", "some"]).starts_with("--deletion-budget: \"some\""));
        assert!(error(&["--northbound", "ssl:h:6641"]).contains("needs --tls-ca"));
        assert!(error(&["--southbound", "10.0.0.1:6642"]).starts_with("--southbound: "));
        assert!(error(&["--southbound", "ssl:h:6642"]).starts_with("--southbound ssl:h:6642: "));
        assert!(error(&["--tls-certificate", "x"]).contains("go together"));
        assert!(error(&["--lock-name", "a-b"]).contains("letters, digits and _"));
        assert!(error(&["--cluster-cidr", "10.244.0.1/16"]).contains("did you mean 10.244.0.0/16?"));
    }
}
