//! Versions of the specification.

use std::fmt;

use super::{CniError, Code};

/// A version Meridian speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.4.0: CHECK and `prevResult`; addresses carry their family.
    V0_4_0,
    /// 1.0.0: lists only; addresses carry no family.
    V1_0_0,
    /// 1.1.0: GC and STATUS; the MTU is part of a result.
    V1_1_0,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest.
    pub const LATEST: Self = Self::V1_1_0;

    /// As in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version of a configuration.
    pub fn parse(text: &str) -> Result<Self, CniError> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| {
                let supported = Self::ALL.map(Self::as_str).join(", ");
                CniError::new(
                    Code::IncompatibleVersion,
                    format!("incompatible CNI version: the configuration says {text:?}"),
                )
                .details(format!("supported: {supported}"))
            })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
