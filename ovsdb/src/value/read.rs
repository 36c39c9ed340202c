//! The JSON form of values (RFC 7047, section 5.1), read straight from text without an intermediate tree.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Unexpected, Visitor};
use uuid::Uuid;

use super::{Atom, AtomKind, Datum, Interner, Real};
use crate::schema::ColumnType;

/// Reads a [`Datum`] of a column's type from any position in a JSON text.
///
/// Without a type, what the text looks like decides, so that a whole real reads as an integer.
/// Bounds on the number of elements are not checked: differences of `update2` do not obey them.
#[derive(Debug)]
pub struct DatumSeed<'a> {
    /// The column's type, if known.
    pub column: Option<&'a ColumnType>,
    /// Where strings that repeat are kept.
    pub interner: &'a mut Interner,
}

impl DatumSeed<'_> {
    fn key_kind(&self) -> Option<AtomKind> {
        self.column.map(|c| c.key.kind)
    }
    fn value_kind(&self) -> Option<AtomKind> {
        self.column.and_then(|c| c.value.as_ref()).map(|v| v.kind)
    }
    /// May a value with this tag stand in the column?
    fn accepts_map(&self) -> bool {
        self.column.is_none_or(ColumnType::is_map)
    }
    fn accepts_set(&self) -> bool {
        self.column.is_none_or(|c| !c.is_map())
    }
    fn lone(&mut self) -> AtomVisitor<'_> {
        AtomVisitor {
            kind: self.key_kind(),
            interner: self.interner,
        }
    }
}

impl<'de> DeserializeSeed<'de> for DatumSeed<'_> {
    type Value = Datum;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datum, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! forward_lone_atom {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<E: serde::de::Error>(mut self, value: $type) -> Result<Datum, E> {
            if !self.accepts_set() {
                return Err(E::custom("a bare atom cannot stand in a map column"));
            }
            self.lone().$method(value).map(Datum::from)
        }
    )*};
}

impl<'de> Visitor<'de> for DatumSeed<'_> {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "an OVSDB value of type {column}"),
            None => f.write_str("an OVSDB value"),
        }
    }

    forward_lone_atom!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Datum, A::Error> {
        let datum = match next(&mut seq, TagSeed)? {
            Tag::Set if self.accepts_set() => {
                let kind = self.key_kind();
                next(
                    &mut seq,
                    AtomsSeed {
                        kind,
                        interner: self.interner,
                    },
                )?
            }
            Tag::Map if self.accepts_map() => {
                let (key, value) = (self.key_kind(), self.value_kind());
                next(
                    &mut seq,
                    PairsSeed {
                        key,
                        value,
                        interner: self.interner,
                    },
                )?
            }
            tag @ (Tag::Uuid | Tag::NamedUuid) if self.accepts_set() => {
                self.lone().reference(tag, &mut seq).map(Datum::from)?
            }
            tag => return Err(A::Error::custom(format_args!("{tag:?} cannot stand in this column"))),
        };
        end(&mut seq)?;
        Ok(datum)
    }
}

/// The next element, which must be there.
fn next<'de, A: SeqAccess<'de>, T: DeserializeSeed<'de>>(seq: &mut A, seed: T) -> Result<T::Value, A::Error> {
    seq.next_element_seed(seed)?
        .ok_or_else(|| A::Error::custom("array ends too early"))
}

fn end<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<(), A::Error> {
    match seq.next_element::<IgnoredAny>()? {
        None => Ok(()),
        Some(_) => Err(A::Error::custom("array has too many elements")),
    }
}

#[derive(Clone, Copy, Debug)]
enum Tag {
    Set,
    Map,
    Uuid,
    NamedUuid,
}

struct TagSeed;

impl<'de> DeserializeSeed<'de> for TagSeed {
    type Value = Tag;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tag, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for TagSeed {
    type Value = Tag;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"set\", \"map\", \"uuid\" or \"named-uuid\"")
    }
    fn visit_str<E: serde::de::Error>(self, tag: &str) -> Result<Tag, E> {
        match tag {
            "set" => Ok(Tag::Set),
            "map" => Ok(Tag::Map),
            "uuid" => Ok(Tag::Uuid),
            "named-uuid" => Ok(Tag::NamedUuid),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }
}

struct AtomVisitor<'a> {
    kind: Option<AtomKind>,
    interner: &'a mut Interner,
}

impl AtomVisitor<'_> {
    fn reference<'de, A: SeqAccess<'de>>(&mut self, tag: Tag, seq: &mut A) -> Result<Atom, A::Error> {
        self.require(AtomKind::Uuid)?;
        match tag {
            Tag::Uuid => next(seq, UuidSeed).map(Atom::Uuid),
            Tag::NamedUuid => next(seq, InternSeed(self.interner)).map(Atom::NamedUuid),
            Tag::Set | Tag::Map => Err(A::Error::custom("sets and maps do not nest")),
        }
    }

    fn require<E: serde::de::Error>(&self, found: AtomKind) -> Result<(), E> {
        match self.kind {
            Some(kind) if kind != found => Err(E::custom(format_args!("{found} where {kind} is expected"))),
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for AtomVisitor<'_> {
    type Value = Atom;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Atom, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AtomVisitor<'_> {
    type Value = Atom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an atom of type {}", self.kind.map_or("any", AtomKind::name))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Atom, E> {
        self.require(AtomKind::Boolean)?;
        Ok(Atom::Boolean(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Atom, E> {
        if self.kind == Some(AtomKind::Real) {
            #[allow(clippy::cast_precision_loss)] // the same conversion as the server's
            return self.visit_f64(value as f64);
        }
        self.require(AtomKind::Integer)?;
        Ok(Atom::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Atom, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            #[allow(clippy::cast_precision_loss)]
            Err(_) if self.kind != Some(AtomKind::Integer) => self.visit_f64(value as f64),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Atom, E> {
        if self.kind == Some(AtomKind::Integer) {
            // Servers take 1.0 and 1e3 for integers too. The bound is 2^63, which is exact as a double.
            let bound = 9_223_372_036_854_775_808.0;
            if value.trunc().total_cmp(&value).is_eq() && (-bound..bound).contains(&value) {
                #[allow(clippy::cast_possible_truncation)] // whole and in range
                return Ok(Atom::Integer(value as i64));
            }
        }
        self.require(AtomKind::Real)?;
        Real::new(value)
            .map(Atom::Real)
            .ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Atom, E> {
        self.require(AtomKind::String)?;
        Ok(Atom::String(self.interner.intern(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Atom, A::Error> {
        let tag = next(&mut seq, TagSeed)?;
        let atom = self.reference(tag, &mut seq)?;
        end(&mut seq)?;
        Ok(atom)
    }
}

struct UuidSeed;

impl<'de> DeserializeSeed<'de> for UuidSeed {
    type Value = Uuid;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Uuid, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for UuidSeed {
    type Value = Uuid;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a UUID")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
        Uuid::try_parse(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct InternSeed<'a>(&'a mut Interner);

impl<'de> DeserializeSeed<'de> for InternSeed<'_> {
    type Value = Arc<str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Arc<str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for InternSeed<'_> {
    type Value = Arc<str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(self.0.intern(text))
    }
}

struct AtomsSeed<'a> {
    kind: Option<AtomKind>,
    interner: &'a mut Interner,
}

impl<'de> DeserializeSeed<'de> for AtomsSeed<'_> {
    type Value = Datum;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datum, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtomsSeed<'_> {
    type Value = Datum;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of atoms")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        let mut atoms = Vec::new();
        while let Some(atom) = seq.next_element_seed(AtomVisitor {
            kind: self.kind,
            interner: self.interner,
        })? {
            atoms.push(atom);
        }
        Ok(Datum::set(atoms))
    }
}

struct PairsSeed<'a> {
    key: Option<AtomKind>,
    value: Option<AtomKind>,
    interner: &'a mut Interner,
}

impl<'de> DeserializeSeed<'de> for PairsSeed<'_> {
    type Value = Datum;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Datum, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PairsSeed<'_> {
    type Value = Datum;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of pairs")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Datum, A::Error> {
        // What maps are for has a handful of pairs; growing step by step costs more than the room.
        let mut pairs = Vec::with_capacity(12);
        while let Some(pair) = seq.next_element_seed(PairSeed {
            key: self.key,
            value: self.value,
            interner: self.interner,
        })? {
            pairs.push(pair);
        }
        Ok(Datum::map(pairs))
    }
}

struct PairSeed<'a> {
    key: Option<AtomKind>,
    value: Option<AtomKind>,
    interner: &'a mut Interner,
}

impl<'de> DeserializeSeed<'de> for PairSeed<'_> {
    type Value = (Atom, Atom);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(Atom, Atom), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PairSeed<'_> {
    type Value = (Atom, Atom);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of atoms")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(Atom, Atom), A::Error> {
        let key = next(
            &mut seq,
            AtomVisitor {
                kind: self.key,
                interner: self.interner,
            },
        )?;
        let value = next(
            &mut seq,
            AtomVisitor {
                kind: self.value,
                interner: self.interner,
            },
        )?;
        end(&mut seq)?;
        Ok((key, value))
    }
}
