//! The command line: raw flags ([`args`]) become checked choices ([`config`]).

pub mod args;
pub mod config;
mod database;
