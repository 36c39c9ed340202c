//! What the cross-crate tests share: OVN central without root, the translator as a process, clusters as
//! folders of manifests, and a stable text form of the Northbound database.
//!
//! Reads databases with OVN's own tools, not with our client: what checks the client must not be it.
//!
//! Must not: hold tests (they are in `tests/tests/`), need root, or sleep.

mod central;
mod dump;
mod manifests;
mod network;
mod poll;
mod programs;
mod tracer;
mod translator;

pub use central::Central;
pub use dump::{DumpedRow, difference, dump, dump_rows, text_of, try_dump_rows};
pub use manifests::{Manifests, Pod, endpoint_slice, node, pod, service};
pub use network::{Network, Port};
pub use poll::{DEADLINE, eventually, wait_exit};
pub use programs::{node_binary, run, translator_binary};
pub use tracer::Tracer;
pub use translator::Translator;
