//! Figures on the screen, and whether they are what we promise.

use std::time::Duration;

/// The figures, in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Report {
    missed: usize,
    taken: usize,
}

impl Report {
    /// A figure that must not be more than `bound`, with what it is made of.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, unit: &str, bound: f64, detail: &str) {
        let good = figure <= bound;
        self.taken += 1;
        self.missed += usize::from(!good);
        let verdict = if good { "ok" } else { "MISSED" };
        show(&format!(
            "{what:<44} {figure:>8.2}{unit:<3} at most {bound:>6.2}{unit:<3} {verdict:<6}  {detail}"
        ));
    }

    /// A figure that others have a part in, so that nothing is promised of it.
    pub(crate) fn note(what: &str, detail: &str) {
        show(&format!("{what:<44} {detail}"));
    }

    /// Prints the closing line; false if a bound was missed.
    pub(crate) fn close(&self) -> bool {
        show(&format!("{} passed, {} failed", self.taken - self.missed, self.missed));
        self.missed == 0
    }
}

/// The middle one.
pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the output of a benchmark")]
pub(crate) fn show(line: &str) {
    println!("{line}");
}
