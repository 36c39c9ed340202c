//! The tables of `OVN_Northbound`, `OVN_Southbound`, `Open_vSwitch` and `_Server`, typed.
//!
//! For each database a module, for each table in it
//! - a module of names, for writing: `northbound::logical_switch_port::{TABLE, ADDRESSES, ..}`,
//! - a struct, for reading: `northbound::LogicalSwitchPort`, decoded by [`ovsdb::Table::from_row`].
//!
//! # Which versions
//!
//! The tables are generated from the newest schemas (OVN 26.03.90: Northbound 7.19.0, Southbound
//! 21.11.0; Open vSwitch 4.0.90: 8.8.0; `_Server` 1.2.0), not from the oldest that Meridian supports
//! (OVN 23.03: 7.0.0, 20.27.0; Open vSwitch 3.1: 8.3.1). OVN adds tables, columns and values and
//! hardly ever removes any: the newest schemas contain all of the oldest (a test holds this), so
//! newer columns can be named, and one set of types serves every server:
//! - a session monitors the columns that the server's own schema has, and refuses to write others;
//! - a column the server lacks reads as its default: empty, zero, false;
//! - a value no schema here knows reads as `Other`.
//!
//! Generating from the oldest would have kept us from using anything newer, at no gain in safety:
//! whether a column is there is a property of the server, not of the build.
//!
//! Must not: know what Meridian does with these tables, or convert anything (that is `ovsdb`'s).

mod macros;

#[rustfmt::skip] // as the generator wrote it
mod generated {
    pub mod northbound;
    pub mod open_vswitch;
    pub mod server;
    pub mod southbound;
}

pub use generated::{northbound, open_vswitch, server, southbound};
