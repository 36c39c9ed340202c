//! Generates the typed tables of `ovsdb-schemas` from `.ovsschema` files.
//!
//! The output is data, not code: one `table!` and one `text_enum!` invocation per table and
//! enumeration, a line per column. What those expand to is written by hand, once, in
//! `ovsdb-schemas`, so generated files stay small enough to review.
//!
//! Must not: read or write files (its caller does), or know any particular schema.

mod emit;
mod names;

pub use emit::generate;

/// Why no code can be generated from a schema.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not a schema.
    #[error(transparent)]
    Schema(#[from] ovsdb::SchemaError),
    /// Two names of the schema become one in Rust.
    #[error("{first} and {second} would both be named {name} in Rust")]
    Collision {
        /// The name in Rust.
        name: String,
        /// What took it first.
        first: String,
        /// What wants it too.
        second: String,
    },
}
