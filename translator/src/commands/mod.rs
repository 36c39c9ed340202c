//! One file per subcommand.

pub mod crds;
pub mod explain;
pub mod plan;
pub mod render;
pub mod run;
pub mod topology;

use crate::cli::args::{CommandArgs, CommandLine};
use crate::logging;
use crate::problems::{Board, Origin, Problem};

/// How a command ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Fine,
    /// `plan` found differences.
    Differences,
}

/// Does what the command line says.
pub fn execute(line: CommandLine) -> anyhow::Result<Outcome> {
    let CommandLine { log, command } = line;
    logging::init(log.log_format, &log.log_level)?;
    // One task compiles and writes, one owns the database session; the rest is small. More threads only scatter memory.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match command {
        CommandArgs::Run(args) => runtime.block_on(run::execute(args.try_into()?)),
        CommandArgs::Plan(args) => runtime.block_on(plan::execute(args.try_into()?)),
        CommandArgs::Explain(args) => runtime.block_on(explain::execute(args.try_into()?)),
        CommandArgs::Render(args) => runtime.block_on(render::execute(args.try_into()?)),
        CommandArgs::Topology(args) => runtime.block_on(topology::execute(args.try_into()?)),
        CommandArgs::Crds => crds::execute(),
    }
}

/// Puts what the compiler has found on the board.
fn post_compile_problems<'a>(board: &Board, problems: impl Iterator<Item = &'a meridian_compile::Problem>) {
    board.set(
        Origin::Compile,
        problems.map(|problem| Problem {
            object: problem.object.to_string(),
            field: Some(problem.field.to_string()),
            reason: None,
            message: problem.message.to_string(),
            place: None,
        }),
    );
}

/// Writes a command's result.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // A reader that has seen enough (`| head`) is no error.
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
