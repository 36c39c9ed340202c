//! What a person sees while a lab works: steps with their times, on standard error. Standard
//! output belongs to results.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use crate::error::Result;

/// Where progress goes.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    quiet: bool,
    color: bool,
}

impl Ui {
    /// Progress on standard error.
    pub fn stderr() -> Self {
        Self {
            quiet: false,
            color: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// No progress at all.
    pub fn quiet() -> Self {
        Self {
            quiet: true,
            color: false,
        }
    }

    /// Does one step and tells how long it took.
    pub fn step<T>(self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        let (sign, color) = if result.is_ok() { ("ok", "32") } else { ("failed", "31") };
        self.line(&format!(
            "{}  {what}  {seconds:.1}s",
            self.paint(&format!("{sign:>6}"), color)
        ));
        result
    }

    /// Something worth knowing that is no step.
    pub fn note(self, text: &str) {
        self.line(&format!("        {text}"));
    }

    /// A failure, shown even when progress is not.
    pub fn error(self, text: &str) {
        let sign = self.paint("error:", "31");
        writeln!(std::io::stderr(), "{sign} {text}").ok();
    }

    /// Green and red words where the terminal knows them.
    pub fn paint(self, text: &str, color: &str) -> String {
        if self.color {
            format!("\x1b[{color}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(self, text: &str) {
        if !self.quiet {
            // Nobody to tell when standard error is closed.
            writeln!(std::io::stderr(), "{text}").ok();
        }
    }
}
