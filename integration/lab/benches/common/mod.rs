//! A lab for a benchmark.

use std::path::Path;

use meridian_lab::Result;
use meridian_lab::binaries::Binaries;
use meridian_lab::lab::{self, Lab};
use meridian_lab::plan::Options;
use meridian_lab::ui::Ui;

/// Measures something in a lab of its own, with the programs that `MERIDIAN_BIN_DIR` names or else those beside us. Takes the lab down,
/// also when that fails, and ends the benchmark then.
pub(crate) fn in_lab(options: Options, measure: impl FnOnce(&Lab) -> Result<()>) {
    let dir = Path::new(lab::ROOT).join(&options.name);
    let result = up(&dir, options).and_then(|lab| {
        measure(&lab)?;
        lab.close();
        Ok(())
    });
    let down = lab::down(&dir, false);
    result.unwrap_or_else(|e| panic!("{e}"));
    down.unwrap_or_else(|e| panic!("{e}"));
}

fn up(dir: &Path, options: Options) -> Result<Lab> {
    let binaries = match std::env::var_os("MERIDIAN_BIN_DIR") {
        Some(dir) => Binaries::in_dir(dir),
        None => Binaries::beside_us()?,
    };
    let (lab, _) = Lab::up(dir, options, None, binaries, Ui::stderr())?;
    Ok(lab)
}
