//! The Container Network Interface: versions, configuration, parameters, results, errors.
//!
//! Own types, not a crate's: what the plugin needs of the specification fits on a few screens; it must place an
//! error in the configuration it was given (line and column), must not give up a whole configuration for a field it
//! does not read, and must print three versions of a result from one value.
//!
//! Must do no I/O and know nothing of OVN.

mod bandwidth;
mod config;
mod error;
mod params;
mod result;
mod version;

pub use bandwidth::{Bandwidth, Limit};
pub use config::{Config, LogLevel};
pub use error::{CniError, Code};
pub use params::{Attachment, Command, Params};
pub use result::{CniResult, Interface, Ip, Route};
pub use version::Version;
