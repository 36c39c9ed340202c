//! How a difference of `update2` and `update3` changes a value.
//!
//! Sets: a member in the difference toggles. Maps: a pair toggles, and a pair whose key is there with another value
//! replaces it. Columns of at most one atom or pair: the difference is the new value.

use std::cmp::Ordering;

use crate::schema::ColumnType;
use crate::value::{Atom, Datum};

/// A difference that cannot belong to the value it is applied to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// The result would not obey the column's bounds, so the value was not what the server believes.
    #[error("{count} elements after the change, where the column takes from {min} to {max:?}")]
    Bounds {
        /// Elements in the result.
        count: usize,
        /// The column's minimum.
        min: u64,
        /// The column's maximum.
        max: Option<u64>,
    },
}

impl Datum {
    /// This value changed by a difference.
    pub fn apply_diff(&self, diff: &Self, column: &ColumnType) -> Result<Self, DiffError> {
        let new = if !column.is_composite() {
            diff.clone()
        } else if column.is_map() {
            toggle_pairs(self.pairs(), diff.pairs())
        } else {
            toggle_atoms(self.atoms(), diff.atoms())
        };
        let count = new.len();
        if (count as u64) < column.min || column.max.is_some_and(|max| count as u64 > max) {
            return Err(DiffError::Bounds {
                count,
                min: column.min,
                max: column.max,
            });
        }
        Ok(new)
    }

    /// The difference a server would send for a change from this value to `new`.
    #[must_use]
    pub fn diff(&self, new: &Self, column: &ColumnType) -> Self {
        if !column.is_composite() {
            return new.clone();
        }
        if !column.is_map() {
            return toggle_atoms(self.atoms(), new.atoms());
        }
        let gone = self.pairs().iter().filter(|(key, _)| !new.contains(key));
        let changed = new
            .pairs()
            .iter()
            .filter(|(key, value)| self.value_of(key) != Some(value));
        Self::map(gone.chain(changed).map(|(key, value)| (key, value)))
    }
}

/// The symmetric difference.
fn toggle_atoms(old: &[Atom], diff: &[Atom]) -> Datum {
    let mut new = Vec::with_capacity(old.len() + diff.len());
    merge(old, diff, Ord::cmp, |a, b| {
        if let (Some(atom), None) | (None, Some(atom)) = (a, b) {
            new.push(atom.clone());
        }
    });
    Datum::from_sorted_atoms(new)
}

fn toggle_pairs(old: &[(Atom, Atom)], diff: &[(Atom, Atom)]) -> Datum {
    let mut new = Vec::with_capacity(old.len() + diff.len());
    merge(
        old,
        diff,
        |a, b| a.0.cmp(&b.0),
        |a, b| match (a, b) {
            (Some(pair), None) | (None, Some(pair)) => new.push(pair.clone()),
            (Some(old), Some(diff)) if old.1 != diff.1 => new.push(diff.clone()),
            _ => {}
        },
    );
    Datum::from_sorted_pairs(new)
}

/// Walks two sorted slices at once; equal elements come together.
fn merge<T>(a: &[T], b: &[T], cmp: impl Fn(&T, &T) -> Ordering, mut visit: impl FnMut(Option<&T>, Option<&T>)) {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return,
            (Some((x, rest)), None) => {
                visit(Some(x), None);
                a = rest;
            }
            (None, Some((y, rest))) => {
                visit(None, Some(y));
                b = rest;
            }
            (Some((x, after_x)), Some((y, after_y))) => match cmp(x, y) {
                Ordering::Less => {
                    visit(Some(x), None);
                    a = after_x;
                }
                Ordering::Greater => {
                    visit(None, Some(y));
                    b = after_y;
                }
                Ordering::Equal => {
                    visit(Some(x), Some(y));
                    (a, b) = (after_x, after_y);
                }
            },
        }
    }
}
