//! The node agent.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use meridian_node_cni::agent::{self, Cli};

fn main() -> ExitCode {
    agent::main(Cli::parse()).unwrap_or_else(|error| {
        // Where standard error is closed nobody listens.
        let _ = writeln!(std::io::stderr(), "meridian-node: {error:#}");
        ExitCode::FAILURE
    })
}
