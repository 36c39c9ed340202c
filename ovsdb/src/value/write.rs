//! The JSON form of values (RFC 7047, section 5.1), written.

use serde::ser::{Serialize, SerializeTuple, Serializer};

use super::{Atom, Datum};
use crate::schema::ColumnType;

impl Serialize for Atom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Real(number) => serializer.serialize_f64(number.get()),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::String(text) => serializer.serialize_str(text),
            Self::Uuid(uuid) => ("uuid", uuid.as_hyphenated()).serialize(serializer),
            Self::NamedUuid(name) => ("named-uuid", &**name).serialize(serializer),
        }
    }
}

/// How a datum is to be written where contents alone do not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// For a set column: a lone atom is written bare.
    Set,
    /// For a map column: an empty datum is an empty map.
    Map,
    /// A set that keeps its tag even around a lone atom.
    TaggedSet,
}

impl Shape {
    /// For a column of this type; without a type, as for a set column.
    pub fn of(column: Option<&ColumnType>) -> Self {
        if column.is_some_and(ColumnType::is_map) {
            Self::Map
        } else {
            Self::Set
        }
    }
}

/// A datum together with how to write it.
#[derive(Clone, Copy, Debug)]
pub struct TypedDatum<'a> {
    /// What to write.
    pub datum: &'a Datum,
    /// How to write it.
    pub shape: Shape,
}

impl Serialize for TypedDatum<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { datum, shape } = *self;
        if let Some(atom) = datum.as_scalar()
            && shape != Shape::TaggedSet
        {
            return atom.serialize(serializer);
        }
        let mut tagged = serializer.serialize_tuple(2)?;
        if datum.is_map() || (datum.is_empty() && shape == Shape::Map) {
            tagged.serialize_element("map")?;
            tagged.serialize_element(datum.pairs())?;
        } else {
            tagged.serialize_element("set")?;
            tagged.serialize_element(datum.atoms())?;
        }
        tagged.end()
    }
}

impl Serialize for Datum {
    /// Without a type an empty datum is written as a set.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        TypedDatum {
            datum: self,
            shape: Shape::Set,
        }
        .serialize(serializer)
    }
}
