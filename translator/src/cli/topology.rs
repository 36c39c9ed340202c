//! `topology`: its flags, and what is made of them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{NetworkArgs, SourceArgs};
use super::config::{Error, compile_config};
use crate::source::Source;

pub(super) const EXAMPLES: &str = "\
Examples:
  A page for a browser, which needs nothing from elsewhere:
    meridian-translator topology --manifests ./cluster --file networks.html

  The picture alone, of a live cluster, out of the pod of the translator:
    kubectl -n meridian-system exec deploy/meridian-translator -- meridian-translator topology --output svg > networks.svg

  The same for programs:
    meridian-translator topology --manifests ./cluster --output json";

/// `topology`.
#[derive(Debug, Args)]
pub struct TopologyArgs {
    /// The cluster's addresses and name.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Where objects come from.
    #[command(flatten)]
    pub source: SourceArgs,
    /// How long to wait for the cluster, in seconds.
    #[arg(long, default_value_t = 30)]
    pub timeout: u64,
    /// As what.
    #[arg(long, default_value = "html")]
    pub output: DrawingArg,
    /// Where to write it [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// As what `topology` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DrawingArg {
    /// A page with the picture and tables, in one file.
    Html,
    /// The picture.
    Svg,
    /// For programs.
    Json,
}

/// `topology`.
#[derive(Debug)]
pub struct TopologyConfig {
    /// The cluster's networks.
    pub compile: meridian_compile::Config,
    /// Where objects come from.
    pub source: Source,
    /// How long to wait.
    pub timeout: Duration,
    /// As what.
    pub output: DrawingArg,
    /// Where to write it, if not to standard output.
    pub file: Option<PathBuf>,
}

impl TryFrom<TopologyArgs> for TopologyConfig {
    type Error = Error;

    fn try_from(args: TopologyArgs) -> Result<Self, Error> {
        let TopologyArgs {
            network,
            source,
            timeout,
            output,
            file,
        } = args;
        Ok(Self {
            compile: compile_config(network)?,
            source: source.into(),
            timeout: Duration::from_secs(timeout),
            output,
            file,
        })
    }
}
