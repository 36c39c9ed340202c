//! `meridian-translator`: see `--help`.

use std::process::ExitCode;

use clap::Parser as _;
use meridian_translator::cli::args::CommandLine;
use meridian_translator::commands::{self, Outcome};

/// Usage errors share this code with all other errors: 2 means that `plan` found differences.
const FAILURE: u8 = 1;
const DIFFERENCES: u8 = 2;

fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version come this way too, and go to standard output.
            let failed = error.use_stderr();
            let _ = error.print();
            return if failed {
                ExitCode::from(FAILURE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    // One provider for all of the process; an error only says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match commands::execute(line) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Differences) => ExitCode::from(DIFFERENCES),
        Err(error) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "meridian-translator: {error:#}");
            ExitCode::from(FAILURE)
        }
    }
}
