//! `topology`: a picture of the cluster's networks.

mod html;
mod layout;
mod peers;
mod style;
mod svg;

use anyhow::Context as _;
use meridian_compile::Compiler;

use super::{Outcome, print};
use crate::cli::topology::{DrawingArg, TopologyConfig};
use crate::problems::Board;
use crate::source::read;

/// Draws it.
pub async fn execute(config: TopologyConfig) -> anyhow::Result<Outcome> {
    let TopologyConfig {
        compile,
        source,
        timeout: patience,
        output,
        file,
    } = config;
    let mut compiler = Compiler::new(compile);
    let board = Board::default();
    read::everything(&source, &board, patience, |event| compiler.apply(event)).await?;
    compiler.compile();
    let topology = compiler.topology();
    let text = match output {
        DrawingArg::Html => html::page(&topology),
        DrawingArg::Svg => svg::picture(&topology),
        DrawingArg::Json => format!("{:#}\n", serde_json::to_value(&topology).context("topology as JSON")?),
    };
    match file {
        Some(file) => std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?,
        None => print(&text)?,
    }
    Ok(Outcome::Fine)
}
