//! The command line: flags to calls of the library, results to the screen.

mod args;
mod cluster;
mod resource;
mod run;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use meridian_lab::binaries::Binaries;
use meridian_lab::host::init;
use meridian_lab::kubernetes::forward::Forward;
use meridian_lab::lab;
use meridian_lab::serve::Server;
use meridian_lab::supervise::Supervise;
use meridian_lab::ui::Ui;

use args::{Cli, Command, Global, Serve};

/// A unix socket's path holds 107 bytes; the longest below a lab's folder takes 45 of them.
const LONGEST_DIR: usize = 60;

/// What every command gets.
#[derive(Debug)]
struct Context {
    name: String,
    dir: PathBuf,
    binaries: Binaries,
    json: bool,
    ui: Ui,
}

pub(crate) fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    // What a lab is made of needs none to be found.
    let part = match command {
        Command::Serve(args) => serve(args),
        Command::Init { layout } => init::run(&layout),
        Command::Forward(args) => forward(args),
        Command::Supervise(args) => supervise(args),
        command => return finish(Context::new(global).and_then(|context| run::run(&context, command))),
    };
    finish(part.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from))
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|e| {
        Ui::stderr().error(&format!("{e:#}"));
        ExitCode::FAILURE
    })
}

fn serve(args: Serve) -> meridian_lab::Result<()> {
    let Serve { pod, node, tcp, udp } = args;
    Server { pod, node, tcp, udp }.run()
}

fn supervise(args: args::Supervise) -> meridian_lab::Result<()> {
    let args::Supervise { address, command } = args;
    let addresses = address;
    Supervise { addresses, command }.run()
}

fn forward(args: args::Forward) -> meridian_lab::Result<()> {
    let args::Forward { listen, netns, to } = args;
    Forward { listen, netns, to }.run()
}

impl Context {
    fn new(global: Global) -> anyhow::Result<Self> {
        let Global {
            name,
            dir,
            bin_dir,
            json,
            quiet,
        } = global;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 20 || !name.chars().all(legal) {
            bail!("{name:?} is no name for a lab: up to 20 lower case letters, digits and '-'");
        }
        let dir = match dir {
            Some(dir) => std::path::absolute(&dir).with_context(|| format!("{}", dir.display()))?,
            None => PathBuf::from(lab::ROOT).join(&name),
        };
        if dir.as_os_str().len() > LONGEST_DIR {
            bail!(
                "{} is too long: unix sockets below it need a folder of at most {LONGEST_DIR} bytes",
                dir.display()
            );
        }
        Ok(Self {
            name,
            dir,
            binaries: match bin_dir {
                Some(dir) => Binaries::in_dir(std::path::absolute(dir)?),
                None => Binaries::beside_us()?,
            },
            json,
            ui: if quiet { Ui::quiet() } else { Ui::stderr() },
        })
    }
}
