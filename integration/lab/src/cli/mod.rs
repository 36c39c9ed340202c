//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use meridian_lab::binaries::Binaries;
use meridian_lab::lab::{self, Lab, Upped};
use meridian_lab::plan::{Families, Options};
use meridian_lab::ui::Ui;

#[derive(Debug, Parser)]
struct Args {
    #[arg(long, global = true, default_value = "default")]
    name: String,
    #[arg(long, global = true)]
    bin_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up {
        #[arg(long, default_value_t = 3)]
        hosts: u8,
        #[arg(long)]
        bare: bool,
        #[arg(long)]
        dual_stack: bool,
        #[arg(long)]
        ipv6: bool,
    },
    Down,
}

pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            Ui::stderr().note(&format!("error: {e}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let dir = PathBuf::from(lab::ROOT).join(&args.name);
    let bin = match args.bin_dir {
        Some(d) => Binaries::in_dir(d),
        None => Binaries::beside_us()?,
    };
    match args.command {
        Command::Up { hosts, bare, dual_stack, ipv6 } => {
            let families = if ipv6 { Families::V6 } else if dual_stack { Families::Dual } else { Families::V4 };
            let (_lab, how) = Lab::up(
                &dir,
                Options { name: args.name, hosts, families, bare },
                None, bin, Ui::stderr())?;
            if how == Upped::Built { Ui::stderr().note("up"); } else { Ui::stderr().note(&format!("{how:?}")); }
        }
        Command::Down => { lab::down(&dir, false)?; }
    }
    Ok(())
}
