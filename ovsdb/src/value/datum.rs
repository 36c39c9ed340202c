//! [`Datum`]: what one column of one row holds.

use std::fmt;
use std::sync::Arc;

use super::Atom;

/// A set or a map of atoms; a scalar is a set of one.
///
/// Sets are sorted and free of duplicates, maps are sorted by key, so equality is equality of contents.
/// An empty set and an empty map are the same value: OVSDB omits defaults on the wire, and only the
/// column's type can tell them apart. Cloning never copies contents.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Datum(Repr);

// Canonical: `Set` has at least two atoms and `Map` at least one pair. With the tag in a niche of
// `Atom` a datum takes 24 bytes, and a lone atom needs no allocation of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Repr {
    #[default]
    Empty,
    One(Atom),
    Set(Arc<[Atom]>),
    Map(Arc<[(Atom, Atom)]>),
}

impl Datum {
    /// Neither atoms nor pairs.
    pub const fn empty() -> Self {
        Self(Repr::Empty)
    }

    /// Exactly one atom.
    pub fn scalar(atom: impl Into<Atom>) -> Self {
        Self(Repr::One(atom.into()))
    }

    /// One atom, or nothing: the value of an optional column.
    pub fn optional(atom: Option<impl Into<Atom>>) -> Self {
        atom.map_or_else(Self::empty, Self::scalar)
    }

    /// A set; duplicates are dropped.
    pub fn set<I>(atoms: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Atom>,
    {
        let mut atoms: Vec<Atom> = atoms.into_iter().map(Into::into).collect();
        if !atoms.is_sorted_by(|a, b| a < b) {
            atoms.sort_unstable();
            atoms.dedup();
        }
        Self::from_sorted_atoms(atoms)
    }

    /// A map; of several values for one key the last wins.
    pub fn map<I, K, V>(pairs: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Atom>,
        V: Into<Atom>,
    {
        let mut pairs: Vec<(Atom, Atom)> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            // Stable order keeps the last value of a key last; move it to the kept element.
            pairs.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(&mut kept.1, &mut later.1);
                }
                same
            });
        }
        Self::from_sorted_pairs(pairs)
    }

    pub(crate) fn from_sorted_atoms(mut atoms: Vec<Atom>) -> Self {
        debug_assert!(atoms.is_sorted_by(|a, b| a < b), "atoms must be sorted and distinct");
        Self(match atoms.len() {
            0 => Repr::Empty,
            1 => Repr::One(atoms.swap_remove(0)),
            _ => Repr::Set(atoms.into()),
        })
    }

    pub(crate) fn from_sorted_pairs(pairs: Vec<(Atom, Atom)>) -> Self {
        debug_assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "keys must be sorted and distinct");
        Self(if pairs.is_empty() {
            Repr::Empty
        } else {
            Repr::Map(pairs.into())
        })
    }

    /// The atoms of a set, sorted. A map yields none.
    pub fn atoms(&self) -> &[Atom] {
        match &self.0 {
            Repr::One(atom) => std::slice::from_ref(atom),
            Repr::Set(atoms) => atoms,
            Repr::Empty | Repr::Map(_) => &[],
        }
    }

    /// The pairs of a map, sorted by key. A set yields none.
    pub fn pairs(&self) -> &[(Atom, Atom)] {
        match &self.0 {
            Repr::Map(pairs) => pairs,
            Repr::Empty | Repr::One(_) | Repr::Set(_) => &[],
        }
    }

    /// Neither atoms nor pairs?
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// Is this a map with at least one pair?
    pub const fn is_map(&self) -> bool {
        matches!(self.0, Repr::Map(_))
    }

    /// Number of atoms, or of pairs.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::One(_) => 1,
            Repr::Set(atoms) => atoms.len(),
            Repr::Map(pairs) => pairs.len(),
        }
    }

    /// Is `atom` in the set, or a key of the map?
    pub fn contains(&self, atom: &Atom) -> bool {
        match &self.0 {
            Repr::Empty => false,
            Repr::One(only) => only == atom,
            Repr::Set(atoms) => atoms.binary_search(atom).is_ok(),
            Repr::Map(_) => self.value_of(atom).is_some(),
        }
    }

    /// The value under `key` in a map.
    pub fn value_of(&self, key: &Atom) -> Option<&Atom> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// The value under a string key in a map.
    pub fn get(&self, key: &str) -> Option<&Atom> {
        let pairs = self.pairs();
        // The keys of one column are of one kind, so a string key is found by comparing text alone.
        let at = pairs.binary_search_by(|(k, _)| k.as_str().cmp(&Some(key))).ok()?;
        Some(&pairs[at].1)
    }

    /// The text under a string key in a map.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Atom::as_str)
    }

    /// The only atom, if there is exactly one.
    pub const fn as_scalar(&self) -> Option<&Atom> {
        match &self.0 {
            Repr::One(atom) => Some(atom),
            _ => None,
        }
    }

    /// The only atom's text, if there is exactly one and it is a string.
    pub fn as_str(&self) -> Option<&str> {
        self.as_scalar().and_then(Atom::as_str)
    }
}

impl From<Atom> for Datum {
    fn from(atom: Atom) -> Self {
        Self(Repr::One(atom))
    }
}

impl fmt::Display for Datum {
    /// As OVSDB's own tools print it: `[a, b]`, `{k=v}`, and a lone atom bare.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Empty => f.write_str("[]"),
            Repr::One(atom) => atom.fmt(f),
            Repr::Set(atoms) => {
                for (i, atom) in atoms.iter().enumerate() {
                    write!(f, "{}{atom}", if i == 0 { "[" } else { ", " })?;
                }
                f.write_str("]")
            }
            Repr::Map(pairs) => {
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}={value}", if i == 0 { "{" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datum_takes_three_words() {
        assert_eq!(size_of::<Datum>(), 24);
    }

    #[test]
    fn sets_are_sorted_and_free_of_duplicates() {
        let set = Datum::set(["b", "a", "b"]);
        assert_eq!(set.atoms(), [Atom::from("a"), Atom::from("b")]);
        assert_eq!(Datum::set(["a", "a"]), Datum::scalar("a"));
    }

    #[test]
    fn the_last_value_of_a_repeated_key_wins() {
        let map = Datum::map([("k", "1"), ("a", "x"), ("k", "2"), ("k", "3")]);
        assert_eq!(map, Datum::map([("a", "x"), ("k", "3")]));
        assert_eq!(map.get_str("k"), Some("3"));
        assert_eq!(map.get_str("zz"), None);
    }

    #[test]
    fn an_empty_set_equals_an_empty_map() {
        assert_eq!(Datum::set::<[&str; 0]>([]), Datum::map::<[(&str, &str); 0], _, _>([]));
        assert_eq!(Datum::empty().len(), 0);
    }

    #[test]
    fn values_print_as_the_tools_of_ovsdb_print_them() {
        assert_eq!(Datum::set([2_i64, 1]).to_string(), "[1, 2]");
        assert_eq!(Datum::map([("k", 1_i64)]).to_string(), r#"{"k"=1}"#);
        assert_eq!(Datum::scalar(true).to_string(), "true");
    }
}
