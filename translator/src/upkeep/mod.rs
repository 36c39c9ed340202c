//! What keeping up the status of objects takes, whichever they are: following them, patching them, and not patching them
//! again and again.
//!
//! Must not: know what any of it means.

mod condition;
mod follow;
mod in_full;
mod refusal;
mod told;

pub(crate) use condition::{Verdict, set, shortened};
pub(crate) use follow::{fold, forward};
pub(crate) use in_full::InFull;
pub(crate) use refusal::{Refusal, ask};
pub(crate) use told::Told;
