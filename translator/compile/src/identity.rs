//! Row identity: a UUID that anyone with cluster, table and key can derive again.

use ovsdb::Uuid;

/// The namespace of Meridian's row UUIDs (RFC 9562, version 5). Changing it orphans every row ever written.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d65_7269_6469_616e_8a5f_6f76_6e2d_6e62);

/// The UUID of a row: that of nobody else's, and known before it is written.
pub fn row_uuid(cluster: Option<&str>, table: &str, key: &str) -> Uuid {
    // None of the three can contain a NUL, so that no two triples run into one text.
    let name = [cluster.unwrap_or_default(), "\0", table, "\0", key].concat();
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_uuid_never_changes_between_releases() {
        let uuid = row_uuid(Some("east"), "Logical_Router", "vpc-default");
        assert_eq!(uuid.to_string(), "ac6f25e6-ec67-5e3d-a6a4-98cc81fe5243");
    }

    #[test]
    fn cluster_table_and_key_all_tell_rows_apart() {
        let rows = [
            row_uuid(None, "Logical_Switch", "a"),
            row_uuid(Some("east"), "Logical_Switch", "a"),
            row_uuid(None, "Logical_Switch_Port", "a"),
            row_uuid(None, "Logical_Switch", "b"),
        ];
        assert_eq!(rows.iter().collect::<std::collections::HashSet<_>>().len(), rows.len());
    }
}
