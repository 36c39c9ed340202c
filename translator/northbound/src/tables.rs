//! What the Northbound schema says about its tables, and what writing them costs ovn-northd.
//!
//! Must not: know what Meridian uses a table for.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ovsdb::{Atom, DatabaseSchema, Datum, IndexSpec, Replica, TableMonitor};
use ovsdb_schemas::northbound as nb;
use serde_json::Value;

/// A set column that rows refer to other rows with, or that collects values.
#[derive(Debug)]
pub(crate) struct LinkColumn {
    pub(crate) column: &'static str,
    /// The table its elements are rows of; none for plain values.
    pub(crate) target: Option<&'static str>,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// A row of any other table lives only as long as something refers to it.
    pub(crate) is_root: bool,
    pub(crate) has_name: bool,
    pub(crate) link_columns: Vec<LinkColumn>,
    /// Maps that are written key by key, because one of them may be large and little of it changes at a time.
    pub(crate) keyed_columns: Vec<&'static str>,
    /// The columns that keep rows of this table alive, as table and column.
    pub(crate) holders: Vec<(&'static str, &'static str)>,
    /// Changes to it cost ovn-northd a full recompute.
    pub(crate) dear: bool,
}

/// Tables that ovn-northd does not process incrementally (upstream after 26.03). Of bands, which are seldom, it does; but a meter
/// must not be without for a moment, so that both are written together.
const DEAR: [&str; 9] = [
    nb::meter_band::TABLE,
    nb::logical_router_policy::TABLE,
    nb::logical_router_port::TABLE,
    nb::logical_router_static_route::TABLE,
    nb::dns::TABLE,
    nb::qos::TABLE,
    nb::chassis_template_var::TABLE,
    nb::bfd::TABLE,
    nb::static_mac_binding::TABLE,
];

/// Sets of plain values that Meridian fills element by element.
const VALUE_COLUMNS: [(&str, &str); 1] = [(nb::address_set::TABLE, nb::address_set::ADDRESSES)];

/// Maps that Meridian writes key by key.
const KEYED_COLUMNS: [(&str, &str); 1] = [(nb::load_balancer::TABLE, nb::load_balancer::VIPS)];

/// Columns that ovn-northd or ovn-controller write; watching them would wake us for nothing.
const VOLATILE: [(&str, &[&str]); 2] = [
    (
        nb::logical_switch_port::TABLE,
        &[
            "up",
            "dynamic_addresses",
            "tag",
            "enabled",
            "parent_name",
            "tag_request",
        ],
    ),
    (nb::logical_router_port::TABLE, &["status", "ipv6_prefix"]),
];

/// The tables Meridian writes. What is not among them is neither watched nor written.
const WRITTEN: [&str; 16] = [
    nb::acl::TABLE,
    nb::address_set::TABLE,
    nb::dhcp_options::TABLE,
    nb::gateway_chassis::TABLE,
    nb::load_balancer::TABLE,
    nb::load_balancer_group::TABLE,
    nb::logical_router::TABLE,
    nb::logical_router_policy::TABLE,
    nb::logical_router_port::TABLE,
    nb::logical_router_static_route::TABLE,
    nb::logical_switch::TABLE,
    nb::logical_switch_port::TABLE,
    nb::meter::TABLE,
    nb::meter_band::TABLE,
    nb::nat::TABLE,
    nb::port_group::TABLE,
];

static SCHEMA: LazyLock<DatabaseSchema> =
    LazyLock::new(|| DatabaseSchema::parse(nb::SCHEMA_JSON).expect("the schema checked in is well-formed"));

static TABLES: LazyLock<BTreeMap<&'static str, Table>> = LazyLock::new(read_schema);

/// A table Meridian writes.
pub(crate) fn table(name: &str) -> Option<&'static Table> {
    TABLES.get(name)
}

/// All tables Meridian writes, by name.
pub(crate) fn tables() -> impl Iterator<Item = &'static Table> {
    TABLES.values()
}

/// Whether the rows of a table have a place for ids.
pub(crate) fn has_external_ids(table: &str) -> bool {
    SCHEMA.column_type(table, "external_ids").is_some()
}

/// What a session must replicate for planning: the tables Meridian writes, indexed by their references, without the
/// columns that change without meaning anything to it.
pub fn monitors() -> Vec<TableMonitor> {
    tables()
        .map(|table| {
            let volatile = VOLATILE
                .iter()
                .find(|(name, _)| *name == table.name)
                .map_or(&[][..], |(_, c)| c);
            let columns = SCHEMA.tables[table.name]
                .columns
                .keys()
                .filter(|c| !volatile.contains(&c.as_str()));
            let monitor = TableMonitor::new(table.name).columns(columns.cloned());
            let holding = table.link_columns.iter().filter(|link| link.target.is_some());
            holding.fold(monitor, |monitor, link| monitor.index(IndexSpec::column(link.column)))
        })
        .collect()
}

/// A replica without rows, of all tables and columns Meridian knows.
pub fn empty_replica() -> Replica {
    Replica::new(&SCHEMA, &monitors())
}

/// A column's value as plain JSON, shaped by the column's type.
pub(crate) fn plain_json(table: &str, column: &str, datum: &Datum) -> Value {
    let Some(r#type) = SCHEMA.column_type(table, column) else {
        return Value::Null;
    };
    if r#type.is_map() {
        let text = |atom: &Atom| atom.as_str().map_or_else(|| atom.to_string(), str::to_owned);
        return datum
            .pairs()
            .iter()
            .map(|(key, value)| (text(key), plain_atom(value)))
            .collect();
    }
    if r#type.max == Some(1) {
        return datum.atoms().first().map_or(Value::Null, plain_atom);
    }
    datum.atoms().iter().map(plain_atom).collect()
}

fn plain_atom(atom: &Atom) -> Value {
    match atom {
        Atom::Integer(integer) => (*integer).into(),
        Atom::Boolean(boolean) => (*boolean).into(),
        Atom::String(text) => (**text).into(),
        other => other.to_string().into(),
    }
}

fn read_schema() -> BTreeMap<&'static str, Table> {
    let written = |name: &str| WRITTEN.into_iter().find(|table| *table == name);
    let mut tables: BTreeMap<_, _> = WRITTEN
        .into_iter()
        .map(|name| {
            let schema = &SCHEMA.tables[name];
            let references = schema.columns.iter().filter_map(|(column, schema)| {
                let target = written(&schema.r#type.key.references.as_ref()?.table)?;
                // What must not be empty is written whole: an insert without it refers to nothing, and that stays beside what is added.
                let many = schema.r#type.max != Some(1) && schema.r#type.min == 0;
                many.then_some(LinkColumn {
                    column,
                    target: Some(target),
                })
            });
            let values = VALUE_COLUMNS.iter().filter(|(table, _)| *table == name);
            let keyed = KEYED_COLUMNS.iter().filter(|(table, _)| *table == name);
            let table = Table {
                name,
                is_root: schema.is_root,
                has_name: schema.columns.contains_key("name"),
                link_columns: references
                    .chain(values.map(|(_, column)| LinkColumn { column, target: None }))
                    .collect(),
                keyed_columns: keyed.map(|(_, column)| *column).collect(),
                holders: Vec::new(),
                dear: DEAR.contains(&name),
            };
            (name, table)
        })
        .collect();
    let mut holders = Vec::new();
    for table in tables.values() {
        for link in &table.link_columns {
            let reference = SCHEMA.tables[table.name].columns[link.column]
                .r#type
                .key
                .references
                .as_ref();
            if let (Some(target), true) = (link.target, reference.is_some_and(|r| r.strong)) {
                holders.push((target, (table.name, link.column)));
            }
        }
    }
    for (target, holder) in holders {
        let target = tables.get_mut(target).expect("targets are among the tables");
        if !target.is_root {
            target.holders.push(holder);
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_keeps_a_port_alive() {
        let port = table("Logical_Switch_Port").unwrap();
        assert!(!port.is_root);
        assert_eq!(port.holders, [("Logical_Switch", "ports")]);
    }

    #[test]
    fn links_of_a_router_are_what_hangs_on_it() {
        let router = table("Logical_Router").unwrap();
        let columns: Vec<_> = router.link_columns.iter().map(|link| link.column).collect();
        assert_eq!(
            columns,
            [
                "load_balancer",
                "load_balancer_group",
                "nat",
                "policies",
                "ports",
                "static_routes"
            ]
        );
    }

    #[test]
    fn the_columns_that_ovn_writes_are_not_watched() {
        let monitors = monitors();
        let ports = monitors.iter().find(|m| m.table == "Logical_Switch_Port").unwrap();
        let columns = ports.columns.as_ref().unwrap();
        assert!(columns.iter().any(|c| c == "external_ids"));
        assert!(!columns.iter().any(|c| c == "up"));
    }
}
