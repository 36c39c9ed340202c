//! The command line: raw flags ([`args`]) become checked choices ([`config`]).

pub mod args;
pub mod config;
mod database;
pub mod explain;
pub mod target;
pub mod topology;
