//! The node agent.

use std::process::ExitCode;

use clap::Parser;
use meridian_node_cni::agent::{self, Cli};

fn main() -> anyhow::Result<ExitCode> {
    agent::main(Cli::parse())
}
