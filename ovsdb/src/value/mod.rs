//! Values: atoms, and the sets and maps made of them (RFC 7047, section 5.1).
//!
//! This module knows nothing of tables or columns beyond their types, and does no I/O.

mod datum;
mod intern;
mod read;
mod write;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use uuid::Uuid;

pub use datum::Datum;
pub use intern::Interner;
pub use read::DatumSeed;
pub use write::{Shape, TypedDatum};

/// The type of an atom, as a schema names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AtomKind {
    /// A signed 64-bit integer.
    Integer,
    /// A finite double.
    Real,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    String,
    /// A row's identifier.
    Uuid,
}

impl AtomKind {
    /// The name used in schemas.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }

    /// The kind with this name in schemas.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "integer" => Some(Self::Integer),
            "real" => Some(Self::Real),
            "boolean" => Some(Self::Boolean),
            "string" => Some(Self::String),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// What a column of this kind holds when nobody ever wrote it (RFC 7047, section 5.2.1).
    pub fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(Real(0.0)),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(Arc::from("")),
            Self::Uuid => Atom::Uuid(Uuid::nil()),
        }
    }
}

impl fmt::Display for AtomKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A finite double with a total order, of 15 significant digits.
///
/// Servers send no more digits than that, so a number with more would read back as another one. Minus zero is zero.
#[derive(Clone, Copy)]
pub struct Real(f64);

impl Real {
    /// `None` for what OVSDB cannot hold: infinities, NaN, and what 15 digits round to infinity.
    pub fn new(value: f64) -> Option<Self> {
        let rounded: f64 = if value.trunc().total_cmp(&value).is_eq() && value.abs() < 1e15 {
            value
        } else {
            format!("{value:.14e}").parse().ok()?
        };
        // Adding zero turns minus zero into zero, so that equality and hash agree with OVSDB's.
        rounded.is_finite().then_some(Self(rounded + 0.0))
    }

    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Real {}
impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Real {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl Hash for Real {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One value of one of the five basic types.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Atom {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A finite double.
    Real(Real),
    /// True or false.
    Boolean(bool),
    /// UTF-8 text.
    String(Arc<str>),
    /// A row's identifier.
    Uuid(Uuid),
    /// The name another operation of the same transaction gave to the row it inserts. Never found in a replica.
    NamedUuid(Arc<str>),
}

impl Atom {
    /// A reference to a row inserted under `name` by the same transaction.
    pub fn named_uuid(name: impl Into<Arc<str>>) -> Self {
        Self::NamedUuid(name.into())
    }

    /// The basic type.
    pub const fn kind(&self) -> AtomKind {
        match self {
            Self::Integer(_) => AtomKind::Integer,
            Self::Real(_) => AtomKind::Real,
            Self::Boolean(_) => AtomKind::Boolean,
            Self::String(_) => AtomKind::String,
            Self::Uuid(_) | Self::NamedUuid(_) => AtomKind::Uuid,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The identifier, if this is a UUID.
    pub const fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// The number, if this is an integer.
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, if this is a real or an integer.
    #[allow(clippy::cast_precision_loss)] // the same conversion as the server's
    pub const fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(number.get()),
            Self::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth value, if this is a boolean.
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
            Self::NamedUuid(name) => write!(f, "@{name}"),
        }
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::String(Arc::from(text))
    }
}
impl From<&String> for Atom {
    fn from(text: &String) -> Self {
        Self::String(Arc::from(text.as_str()))
    }
}
impl From<String> for Atom {
    fn from(text: String) -> Self {
        Self::String(Arc::from(text))
    }
}
impl From<Arc<str>> for Atom {
    fn from(text: Arc<str>) -> Self {
        Self::String(text)
    }
}
impl From<&Arc<str>> for Atom {
    fn from(text: &Arc<str>) -> Self {
        Self::String(Arc::clone(text))
    }
}
impl From<i64> for Atom {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
impl From<Real> for Atom {
    fn from(number: Real) -> Self {
        Self::Real(number)
    }
}
impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}
impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}
impl From<&Atom> for Atom {
    fn from(atom: &Atom) -> Self {
        atom.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_keep_the_digits_that_servers_send() {
        let real = |number| Real::new(number).map(Real::get);
        assert_eq!(real(0.1 + 0.2), Some(0.3));
        assert_eq!(real(-0.0).map(f64::is_sign_positive), Some(true));
        assert_eq!(real(1e15), Some(1e15));
        assert_eq!(real(5e-324), Some(5e-324));
        assert_eq!(real(f64::MAX), None);
        assert_eq!(real(f64::NAN), None);
    }

    #[test]
    fn an_atom_takes_three_words() {
        assert_eq!(size_of::<Atom>(), 24);
    }
}
