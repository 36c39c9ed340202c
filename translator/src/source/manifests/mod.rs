//! A folder of manifests.

mod document;
mod file;
mod folder;
mod watch;

pub use folder::Folder;
pub use watch::{Error, Watching, watch};

/// The name of this source.
pub const NAME: &str = "manifests";
