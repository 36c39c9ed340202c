//! Addresses of ports that should be gone and are not.

use std::collections::HashSet;

use meridian_compile::Desired;
use ovsdb::{Datum, Replica};
use ovsdb_schemas::northbound::logical_switch_port::{ADDRESSES, TABLE};
use uuid::Uuid;

use super::attempts::GroupId;
use crate::plan::{Group, RowChange};

/// The addresses of those of the rows that are ports.
pub(super) fn taken(replica: &Replica, rows: impl Iterator<Item = GroupId>) -> HashSet<String> {
    rows.filter(|(table, _)| *table == TABLE)
        .filter_map(|(_, uuid): (_, Uuid)| replica.row(TABLE, uuid))
        .flat_map(|row| ips(row.get(ADDRESSES)).map(str::to_owned))
        .collect()
}

/// Whether a group is to give one of these addresses to a port.
pub(super) fn wants(desired: &Desired, group: &Group, taken: &HashSet<String>) -> bool {
    let Some((TABLE, uuid, RowChange::Insert | RowChange::Update(_))) = &group.row else {
        return false;
    };
    let row = desired.row(TABLE, *uuid).and_then(|row| row.get(ADDRESSES));
    row.is_some_and(|addresses| ips(addresses).any(|ip| taken.contains(ip)))
}

/// What follows the MAC address in each element.
fn ips(addresses: &Datum) -> impl Iterator<Item = &str> {
    let texts = addresses.atoms().iter().filter_map(|atom| atom.as_str());
    texts.flat_map(|text| text.split_whitespace().skip(1))
}
