//! The schemas of the databases this client is made for.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]

use std::path::Path;

use ovsdb::{Atom, AtomKind, DatabaseSchema, Datum};

fn installed(path: &str) -> DatabaseSchema {
    let text = std::fs::read_to_string(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    DatabaseSchema::parse(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_installed_schemas_are_understood() {
    for (path, name, table) in [
        (
            "/usr/share/ovn/ovn-nb.ovsschema",
            "OVN_Northbound",
            "Logical_Switch_Port",
        ),
        ("/usr/share/ovn/ovn-sb.ovsschema", "OVN_Southbound", "Port_Binding"),
        ("/usr/share/openvswitch/vswitch.ovsschema", "Open_vSwitch", "Interface"),
        (
            "/usr/share/openvswitch/local-config.ovsschema",
            "Local_Config",
            "Config",
        ),
    ] {
        let schema = installed(path);
        assert_eq!(schema.name, name);
        assert!(!schema.version.is_empty());
        assert!(!schema.tables[table].columns.is_empty());
    }
}

#[test]
fn the_northbound_schema_is_read_in_every_detail() {
    let schema = installed("/usr/share/ovn/ovn-nb.ovsschema");
    let port = &schema.tables["Logical_Switch_Port"];
    assert!(!port.is_root);
    assert_eq!(port.indexes, [["name"]]);
    assert!(schema.tables["Logical_Switch"].is_root);
    assert_eq!(schema.tables["NB_Global"].max_rows, Some(1));

    let column = |table: &str, column: &str| schema.column_type(table, column).unwrap();
    assert!(column("Logical_Switch_Port", "options").is_map());
    let tag = &column("Logical_Switch_Port", "tag").key;
    assert_eq!(
        (
            tag.min.as_ref().and_then(Atom::as_integer),
            tag.max.as_ref().and_then(Atom::as_integer)
        ),
        (Some(1), Some(4095))
    );
    let ports = column("Logical_Switch", "ports");
    let reference = ports.key.references.as_ref().unwrap();
    assert_eq!(
        (reference.table.as_str(), reference.strong),
        ("Logical_Switch_Port", true)
    );
    let action = column("ACL", "action").key.r#enum.as_ref().unwrap();
    assert!(action.contains(&"allow-related".into()));
    assert_eq!(column("ACL", "_uuid").key.kind, AtomKind::Uuid);
    assert_eq!(column("ACL", "priority").default_datum(), Datum::scalar(0_i64));
    assert_eq!(schema.column_type("ACL", "nope"), None);
}
