//! `render`: what a cluster or a folder of manifests means, without any database.

use std::collections::BTreeMap;

use anyhow::bail;
use meridian_compile::Compiler;
use meridian_northbound::plan::{Description, Sides, plan};
use meridian_northbound::{Ownership, Scope, empty_replica};
use serde_json::json;

use super::{Outcome, post_compile_problems, print};
use crate::cli::args::OutputArg;
use crate::cli::config::RenderConfig;
use crate::problems::Board;
use crate::source::read;

/// Prints the rows.
pub async fn execute(config: RenderConfig) -> anyhow::Result<Outcome> {
    let RenderConfig {
        compile,
        source,
        timeout: patience,
        output,
    } = config;
    let ownership = Ownership::new(compile.cluster_id().map(|id| &**id));
    let mut compiler = Compiler::new(compile);
    let board = Board::default();
    read::everything(&source, &board, patience, |event| compiler.apply(event)).await?;
    compiler.compile();
    post_compile_problems(&board, compiler.problems());
    let replica = empty_replica();
    let sides = Sides {
        desired: compiler.desired(),
        replica: &replica,
        ownership: &ownership,
    };
    let rows = plan(sides, &Scope::Full).describe(sides);
    match output {
        OutputArg::Table => print(&table(&rows))?,
        OutputArg::Json => {
            let problems: Vec<_> = board.all().into_iter().map(|(_, problem)| problem).collect();
            let rows = json!({"rows": rows.rows, "links": rows.links, "problems": problems});
            print(&format!("{rows:#}\n"))?;
        }
    }
    match board.len() {
        0 => Ok(Outcome::Fine),
        problems => bail!("{problems} problems, listed above; the rows printed do without what is wrong"),
    }
}

/// Rows by table, the columns under each, links as columns.
fn table(description: &Description) -> String {
    use std::fmt::Write as _;
    let mut links: BTreeMap<(&str, &str), BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for link in &description.links {
        let columns = links.entry((link.table, &link.parent)).or_default();
        columns.entry(link.column).or_default().push(&link.value);
    }
    let mut text = String::new();
    let mut current = "";
    for row in &description.rows {
        if row.table != current {
            current = row.table;
            let _ = writeln!(text, "{}{current}", if text.is_empty() { "" } else { "\n" });
        }
        let _ = writeln!(text, "  {}  ({}, {})", row.name, row.owner, row.uuid);
        for (name, column) in row.columns.iter().filter(|(_, column)| !column.to.is_blank()) {
            let _ = writeln!(text, "    {name:<16} {}", column.to);
        }
        for (column, values) in links.remove(&(row.table, row.name.as_str())).unwrap_or_default() {
            let _ = writeln!(text, "    {column:<16} {}", values.join(" "));
        }
    }
    text
}
