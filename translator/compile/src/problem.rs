//! [`Problem`]: what in the cluster cannot be compiled, for its user to read.

use std::fmt;

use meridian_model::{Key, Name};

use crate::Unit;

/// Something in the cluster that keeps a unit from compiling as asked. It goes away by itself once its reason does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The object at fault.
    pub object: Key,
    /// Where in the object, as a path: `spec.podCIDRs[0]`.
    pub field: Name,
    /// What is wrong, and what to do about it.
    pub message: Name,
    /// The unit that could not be compiled.
    pub unit: Unit,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.object, self.field, self.message)
    }
}
