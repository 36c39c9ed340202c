//! Updates: decoded from text straight to rows, checked against the replica, and only then made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use uuid::Uuid;

use super::row::{Layout, Row};
use super::table::TableReplica;
use super::{ReplicaError, RowId, UpdateFormat};
use crate::value::{Datum, DatumSeed, Interner};

type Tables = BTreeMap<Arc<str>, TableReplica>;
type Columns = Vec<(usize, Datum)>;

/// Room made at once for the columns of a row: most rows have no more that do not hold their default.
const MANY_COLUMNS: usize = 8;

/// A change as the server describes it.
pub(super) struct Pending {
    layout: Arc<Layout>,
    uuid: Uuid,
    change: Change,
}

enum Change {
    Insert(Columns),
    /// Differences to what the row holds.
    Modify(Columns),
    /// Whole values for the columns that are given.
    Replace(Columns),
    Delete,
}

/// A change as it will be made.
pub(super) enum Resolved {
    Store(Row),
    Remove(Arc<Layout>, Uuid),
}

pub(super) fn decode(
    tables: &Tables,
    interner: &mut Interner,
    format: UpdateFormat,
    text: &str,
) -> Result<Vec<Pending>, serde_json::Error> {
    let mut pending = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    TablesSeed {
        tables,
        interner,
        format,
        pending: &mut pending,
    }
    .deserialize(&mut json)?;
    json.end()?;
    Ok(pending)
}

pub(super) fn resolve(tables: &Tables, pending: Vec<Pending>) -> Result<Vec<Resolved>, ReplicaError> {
    pending
        .into_iter()
        .filter_map(|change| resolve_one(tables, change).transpose())
        .collect()
}

/// `None` if the change changes nothing.
fn resolve_one(tables: &Tables, Pending { layout, uuid, change }: Pending) -> Result<Option<Resolved>, ReplicaError> {
    let inconsistent = |reason: &str| ReplicaError::Inconsistent {
        table: Arc::clone(&layout.table),
        row: uuid,
        reason: reason.to_owned(),
    };
    let old = tables.get(&layout.table).and_then(|table| table.get(uuid));
    let new = match (change, old) {
        (Change::Insert(columns), None) => Row::new(uuid, &layout, columns),
        (Change::Insert(_), Some(_)) => return Err(inconsistent("inserted, but there already")),
        (Change::Delete, Some(_)) => return Ok(Some(Resolved::Remove(layout, uuid))),
        (Change::Delete, None) => return Err(inconsistent("deleted, but not there")),
        (Change::Modify(_) | Change::Replace(_), None) => return Err(inconsistent("modified, but not there")),
        (Change::Replace(columns), Some(old)) => old.with(columns),
        (Change::Modify(mut columns), Some(old)) => {
            for (position, datum) in &mut columns {
                *datum = old
                    .at(*position)
                    .apply_diff(datum, &layout.types[*position])
                    .map_err(|error| inconsistent(&format!("column {}: {error}", layout.columns[*position])))?;
            }
            old.with(columns)
        }
    };
    Ok((old != Some(&new)).then_some(Resolved::Store(new)))
}

pub(super) fn commit(tables: &mut Tables, resolved: Vec<Resolved>) -> Vec<RowId> {
    let mut changed = Vec::with_capacity(resolved.len());
    for change in resolved {
        let (name, uuid) = match &change {
            Resolved::Store(row) => (row.table(), row.uuid()),
            Resolved::Remove(layout, uuid) => (&*layout.table, *uuid),
        };
        let table = tables.get_mut(name).expect("resolved against these tables");
        changed.push((Arc::clone(table.name()), uuid));
        match change {
            Resolved::Store(row) => table.store(row),
            Resolved::Remove(..) => drop(table.remove(uuid)),
        }
    }
    changed
}

/// `{"<table>": {..}, ..}`
struct TablesSeed<'a> {
    tables: &'a Tables,
    interner: &'a mut Interner,
    format: UpdateFormat,
    pending: &'a mut Vec<Pending>,
}

impl<'de> DeserializeSeed<'de> for TablesSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TablesSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with tables as members")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(table) = map.next_key_seed(Text(|name: &str| self.tables.get(name)))? {
            // A table nobody asked for cannot come, and would not hurt.
            let Some(table) = table else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(RowsSeed {
                layout: &table.layout,
                interner: self.interner,
                format: self.format,
                pending: self.pending,
            })?;
        }
        Ok(())
    }
}

/// `{"<uuid>": {..}, ..}`
struct RowsSeed<'a> {
    layout: &'a Arc<Layout>,
    interner: &'a mut Interner,
    format: UpdateFormat,
    pending: &'a mut Vec<Pending>,
}

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with rows of table {} as members", self.layout.table)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let uuid = |key: &str| Uuid::try_parse(key).map_err(|_| format!("{key:?} is no UUID"));
        while let Some(uuid) = map.next_key_seed(Text(uuid))? {
            let uuid = uuid.map_err(A::Error::custom)?;
            let change = map.next_value_seed(ChangeSeed {
                layout: self.layout,
                interner: self.interner,
                format: self.format,
            })?;
            self.pending.push(Pending {
                layout: Arc::clone(self.layout),
                uuid,
                change,
            });
        }
        Ok(())
    }
}

/// `{"old": {..}, "new": {..}}` or `{"modify": {..}}`
struct ChangeSeed<'a> {
    layout: &'a Layout,
    interner: &'a mut Interner,
    format: UpdateFormat,
}

impl ChangeSeed<'_> {
    fn columns(&mut self) -> ColumnsSeed<'_> {
        ColumnsSeed {
            layout: self.layout,
            interner: self.interner,
        }
    }
}

impl<'de> DeserializeSeed<'de> for ChangeSeed<'_> {
    type Value = Change;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Change, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ChangeSeed<'_> {
    type Value = Change;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a change to a row of table {}", self.layout.table)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Change, A::Error> {
        let (mut old, mut new, mut change) = (false, None, None);
        let format = self.format;
        while let Some(member) = map.next_key_seed(Text(|key: &str| Member::of(format, key)))? {
            match member {
                // Some servers send `"old": null` beside an insertion.
                Member::Old => old = map.next_value::<Option<IgnoredAny>>()?.is_some(),
                Member::New => new = map.next_value_seed(Optional(self.columns()))?,
                Member::Insert => change = Some(Change::Insert(map.next_value_seed(self.columns())?)),
                Member::Modify => change = Some(Change::Modify(map.next_value_seed(self.columns())?)),
                Member::Delete => {
                    map.next_value::<IgnoredAny>()?;
                    change = Some(Change::Delete);
                }
                Member::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let change = match (old, new) {
            (false, Some(new)) => Some(Change::Insert(new)),
            (true, Some(new)) => Some(Change::Replace(new)),
            (true, None) => Some(Change::Delete),
            (false, None) => change,
        };
        change.ok_or_else(|| A::Error::custom("a change that is none of those this protocol has"))
    }
}

/// The members of a change.
enum Member {
    Old,
    New,
    Insert,
    Modify,
    Delete,
    Other,
}

impl Member {
    fn of(format: UpdateFormat, key: &str) -> Self {
        match (format, key) {
            (UpdateFormat::Update, "old") => Self::Old,
            (UpdateFormat::Update, "new") => Self::New,
            (UpdateFormat::Update2, "insert" | "initial") => Self::Insert,
            (UpdateFormat::Update2, "modify") => Self::Modify,
            (UpdateFormat::Update2, "delete") => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// A text that is looked at where it stands: there are several for each row, and none of them is kept.
struct Text<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Text<F> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Text<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

struct Optional<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Optional<S> {
    type Value = Option<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Optional<S> {
    type Value = Option<S::Value>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null or a row")
    }
    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// `{"<column>": <value>, ..}`
struct ColumnsSeed<'a> {
    layout: &'a Layout,
    interner: &'a mut Interner,
}

impl<'de> DeserializeSeed<'de> for ColumnsSeed<'_> {
    type Value = Columns;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Columns, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ColumnsSeed<'_> {
    type Value = Columns;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with columns of table {} as members", self.layout.table)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut columns = Vec::with_capacity(self.layout.columns.len().min(MANY_COLUMNS));
        while let Some(position) = map.next_key_seed(Text(|name: &str| self.layout.position(name)))? {
            let Some(position) = position else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let seed = DatumSeed {
                column: Some(&self.layout.types[position]),
                interner: self.interner,
            };
            columns.push((position, map.next_value_seed(seed)?));
        }
        Ok(columns)
    }
}
