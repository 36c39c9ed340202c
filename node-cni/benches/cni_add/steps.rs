//! Where the time goes.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::report::{median, show};

/// What ADD consists of, in the order in which all sides do it.
pub(crate) const STEPS: [&str; 8] = [
    "start the program, read its input",
    "connect to Open vSwitch, get the facts",
    "create the veth",
    "set the host's end up",
    "add the port",
    "configure the pod's end",
    "wait for ovn-installed",
    "print the result, exit",
];

/// The steps of one ADD.
#[derive(Debug)]
pub(crate) struct Timed {
    /// As far as the side has such a step.
    pub(crate) steps: [Option<Duration>; STEPS.len()],
    total: Duration,
}

impl Timed {
    pub(crate) fn new(steps: [Option<Duration>; STEPS.len()], total: Duration) -> Self {
        Self { steps, total }
    }

    /// From the call to its end.
    pub(crate) fn total(&self) -> Duration {
        self.total
    }
}

/// Takes the times of a side that works in this process.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    start: Instant,
    last: Instant,
    steps: [Option<Duration>; STEPS.len()],
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let start = Instant::now();
        Self {
            start,
            last: start,
            steps: [None; STEPS.len()],
        }
    }

    /// A step, by its place in [`STEPS`], ended now.
    pub(crate) fn ended(&mut self, step: usize) {
        let now = Instant::now();
        self.steps[step] = Some(now - self.last);
        self.last = now;
    }

    pub(crate) fn stop(self) -> Timed {
        Timed::new(self.steps, self.last - self.start)
    }
}

/// Prints a column for each side.
pub(crate) fn table(measured: &[(&'static str, Vec<Timed>)]) {
    let row = |label: &str, cells: Vec<String>| {
        let mut line = format!("  {label:<42}");
        for cell in cells {
            // Writing to a String does not fail.
            let _ = write!(line, "{cell:>14}");
        }
        show(&line);
    };
    row("", measured.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (place, label) in STEPS.into_iter().enumerate() {
        let cell = |times: &[Timed]| {
            let mut step: Vec<Duration> = times.iter().filter_map(|timed| timed.steps[place]).collect();
            if step.is_empty() {
                "-".to_owned()
            } else {
                millis(median(&mut step))
            }
        };
        row(label, measured.iter().map(|(_, times)| cell(times)).collect());
    }
    let totals = |times: &[Timed]| -> Vec<Duration> {
        let mut totals: Vec<Duration> = times.iter().map(Timed::total).collect();
        totals.sort_unstable();
        totals
    };
    let at = |times: &[Timed], percent: usize| {
        let totals = totals(times);
        millis(totals[totals.len() * percent / 100])
    };
    for percent in [50, 90] {
        let cells = measured.iter().map(|(_, times)| at(times, percent)).collect();
        row(&format!("all of it, p{percent}"), cells);
    }
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}
