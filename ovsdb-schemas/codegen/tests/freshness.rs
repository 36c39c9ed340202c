//! The checked-in tables are what the generator makes of the checked-in schemas.
//!
//! Here and not in `ovsdb-schemas`, so that tables that do not compile can still be written anew.

use std::path::Path;

const MODULES: &[(&str, &str)] = &[
    ("ovn-nb.ovsschema", "northbound"),
    ("ovn-sb.ovsschema", "southbound"),
    ("vswitch.ovsschema", "open_vswitch"),
    ("_server.ovsschema", "server"),
];

#[test]
fn generated_tables_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let update = std::env::var_os("UPDATE_GENERATED").is_some();
    for (file, module) in MODULES {
        let schema = std::fs::read_to_string(root.join("schemas").join(file)).unwrap();
        let fresh = ovsdb_codegen::generate(file, &schema).unwrap();
        let path = root.join("src/generated").join(format!("{module}.rs"));
        if update {
            std::fs::write(&path, fresh).unwrap();
            continue;
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            fresh == checked_in,
            "{} is stale: run UPDATE_GENERATED=1 cargo test -p ovsdb-codegen",
            path.display()
        );
    }
}
