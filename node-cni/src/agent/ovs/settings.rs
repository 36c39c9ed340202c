//! The settings of this chassis.

use std::collections::BTreeMap;

use meridian_api::chassis;
use ovsdb::{Datum, Mutation, Replica, Transaction, Where};
use ovsdb_schemas::open_vswitch::open_vswitch;

use crate::agent::config::{Config, Datapath};

/// `external_ids` by which ovn-controller knows who and where it is.
pub(super) fn add(config: &Config, replica: &Replica, transaction: &mut Transaction) {
    let encap_ip = config.encap_ip.to_string();
    let mut wanted = BTreeMap::from([
        ("ovn-remote", config.southbound_text.as_str()),
        ("ovn-encap-type", config.encap_type),
        ("ovn-encap-ip", &encap_ip),
        ("ovn-bridge", &config.bridge),
        ("system-id", &config.node),
        ("hostname", &config.node),
    ]);
    // ovn-controller not only makes a bridge that is missing with this type, it also changes one that is there: a node
    // whose bridge forwards in userspace must not lose its pods because its kernel could do it as well.
    if config.datapath_given || config.datapath == Datapath::Netdev {
        wanted.insert("ovn-bridge-datapath-type", config.datapath.as_str());
    }
    let table = replica.table(open_vswitch::TABLE);
    let root = table.and_then(|table| table.iter().next());
    let options = root.and_then(|(_, row)| row.get(open_vswitch::EXTERNAL_IDS).get_str(chassis::CMS_OPTIONS));
    let options = chassis::with_mark(options.unwrap_or_default(), &config.mark);
    wanted.insert(chassis::CMS_OPTIONS, &options);
    let Some((uuid, row)) = root else {
        // A database that was just made.
        let ids = Datum::map(wanted);
        transaction.insert_named(open_vswitch::TABLE, "root", [(open_vswitch::EXTERNAL_IDS, ids)]);
        return;
    };
    let ids = row.get(open_vswitch::EXTERNAL_IDS);
    let different: Vec<_> = wanted
        .into_iter()
        .filter(|(key, value)| ids.get_str(key) != Some(*value))
        .collect();
    if different.is_empty() {
        return;
    }
    // Inserting leaves a key that is there alone, so it must go first, and goes only if it still has the value that was
    // read: what others write meanwhile into a list that is shared with them is seen, not lost. Their keys stay.
    let stale = different.iter().filter_map(|(key, _)| Some((*key, ids.get_str(key)?)));
    let stale = Datum::map(stale);
    transaction.mutate(
        open_vswitch::TABLE,
        Where::Uuid(uuid),
        [
            Mutation::delete(open_vswitch::EXTERNAL_IDS, stale),
            Mutation::insert(open_vswitch::EXTERNAL_IDS, Datum::map(different)),
        ],
    );
}
