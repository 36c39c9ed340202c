//! Errors as the specification has them.

use std::fmt;

use serde_json::{Value, json};

use super::Version;

/// What went wrong, in the specification's numbers (below 100) and Meridian's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The configuration's version is none of ours.
    IncompatibleVersion,
    /// The container or its network namespace does not exist; there is nothing to clean up.
    UnknownContainer,
    /// Environment variables are missing or wrong.
    InvalidEnvironment,
    /// Reading, writing or the kernel failed.
    Io,
    /// The configuration is not JSON.
    Decoding,
    /// The configuration is JSON, but wrong.
    InvalidConfig,
    /// Not possible now; the same call may succeed later.
    TryAgainLater,
    /// STATUS: no ADD can succeed now.
    NotAvailable,
    /// STATUS: no ADD can succeed now, and running pods may be cut off too.
    LimitedConnectivity,
    /// Meridian: a bug, reported as such.
    Internal,
    /// Meridian: CHECK found a difference.
    CheckFailed,
}

impl Code {
    /// The number.
    pub fn number(self) -> u32 {
        match self {
            Self::IncompatibleVersion => 1,
            Self::UnknownContainer => 3,
            Self::InvalidEnvironment => 4,
            Self::Io => 5,
            Self::Decoding => 6,
            Self::InvalidConfig => 7,
            Self::TryAgainLater => 11,
            Self::NotAvailable => 50,
            Self::LimitedConnectivity => 51,
            Self::Internal => 100,
            Self::CheckFailed => 101,
        }
    }
}

/// An error result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    /// What kind.
    pub code: Code,
    /// One line for the pod's events.
    pub message: String,
    /// More, if there is more.
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: String::new(),
        }
    }

    /// Adds details to those already there.
    #[must_use]
    pub fn details(mut self, details: impl AsRef<str>) -> Self {
        if !self.details.is_empty() {
            self.details.push_str("; ");
        }
        self.details.push_str(details.as_ref());
        self
    }

    /// What goes to standard output.
    pub fn to_json(&self, version: Version) -> Value {
        let mut value = json!({
            "cniVersion": version.as_str(),
            "code": self.code.number(),
            "msg": self.message,
        });
        if !self.details.is_empty() {
            value["details"] = self.details.clone().into();
        }
        value
    }
}

impl fmt::Display for CniError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.details.is_empty() {
            write!(f, " ({})", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for CniError {}
