//! Pools of addresses for services.

use meridian_api::address_pool::AddressPool as Given;
use meridian_model::{AddressPool, Announcement, Name};

use super::{FieldError, Meta};

pub(super) fn address_pool(pool: Given) -> Result<AddressPool, FieldError> {
    let meta = Meta::read(pool.metadata)?;
    let announcement = pool.spec.announcement.map(|announcement| Announcement {
        interfaces: announcement.interfaces.iter().map(|name| Name::from(&**name)).collect(),
        node_selector: announcement.node_selector.into_iter().collect(),
    });
    Ok(AddressPool {
        name: meta.name,
        created: meta.created,
        addresses: pool.spec.addresses.iter().map(|range| Name::from(&**range)).collect(),
        announcement,
    })
}
