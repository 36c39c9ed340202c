//! The CNI plugin. Run by the container runtime, never by a person.

use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;

use meridian_node_cni::plugin;

fn main() -> ExitCode {
    // The runtime reads standard output: a panic, too, must be a CNI error.
    std::panic::set_hook(Box::new(|panic| print(&plugin::panicked(&panic.to_string()))));
    // Runtimes call without arguments.
    if std::env::args_os().len() > 1 {
        let _ = writeln!(stdout(), "{}", plugin::about());
        return ExitCode::SUCCESS;
    }
    let mut input = Vec::new();
    // Input that cannot be read is input that cannot be decoded, and is reported so.
    let _ = stdin().read_to_end(&mut input);
    let output = plugin::run(|name| std::env::var(name).ok(), &input);
    if let Some(value) = &output.stdout {
        print(value);
    }
    if output.success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print(value: &serde_json::Value) {
    // A runtime that closed its end learns the exit code.
    let _ = writeln!(stdout(), "{value:#}");
}
