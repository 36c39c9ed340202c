//! What OVN answers in a Subnet to who asks by DHCP: ovn-nb(5), table DHCP_Options, of 23.03.
//!
//! Of addresses it tells what the asker's port has.

use meridian_model::Name;
use ovsdb::{Datum, Uuid};
use ovsdb_schemas::northbound::dhcp_options;

use crate::context::Context;
use crate::pool::Layout;
use crate::vpcs::{Answers, SubnetState};

pub(super) fn rows(ctx: &mut Context<'_>, state: &SubnetState) {
    let Some(answers) = &state.dhcp else { return };
    let mac = super::mac(state);
    for layout in &state.layouts {
        let options = if layout.network.is_ipv4() {
            v4(ctx, layout, answers, &mac)
        } else {
            v6(answers, &mac)
        };
        let columns = [
            (dhcp_options::CIDR, Datum::scalar(layout.network.to_string())),
            (dhcp_options::OPTIONS, Datum::map(options)),
        ];
        let name = ctx.names().dhcp(&state.object.name, layout.network.is_ipv4());
        ctx.row(dhcp_options::TABLE, name, columns, []);
    }
}

/// The row that answers for a family in a Subnet, if anybody does.
pub(crate) fn options(ctx: &Context<'_>, subnet: &Name, v4: bool) -> Option<Uuid> {
    let state = ctx.subnet(subnet)?;
    let answers = state.dhcp.is_some() && state.networks().any(|network| network.is_ipv4() == v4);
    answers.then(|| ctx.uuid(dhcp_options::TABLE, &ctx.names().dhcp(subnet, v4)))
}

fn v4(ctx: &Context<'_>, layout: &Layout, answers: &Answers, mac: &str) -> Vec<(&'static str, String)> {
    let gateway = layout.gateway.to_string();
    let mut options = vec![
        ("server_id", gateway.clone()),
        ("server_mac", mac.to_owned()),
        ("router", gateway),
        ("lease_time", answers.lease_time.to_string()),
    ];
    let dns = answers.dns_servers.iter().filter(|server| server.is_ipv4());
    options.extend(list(dns).map(|servers| ("dns_server", servers)));
    options.extend(list(&answers.ntp_servers).map(|servers| ("ntp_server", servers)));
    options.extend(answers.domain_name.iter().map(|name| ("domain_name", quoted(name))));
    if !answers.search_domains.is_empty() {
        options.push(("domain_search_list", quoted(&answers.search_domains.join(","))));
    }
    let mtu = answers.mtu.or(ctx.config().mtu());
    options.extend(mtu.map(|mtu| ("mtu", mtu.to_string())));
    options
}

fn v6(answers: &Answers, mac: &str) -> Vec<(&'static str, String)> {
    let mut options = vec![("server_id", mac.to_owned())];
    let dns = answers.dns_servers.iter().filter(|server| server.is_ipv6());
    options.extend(list(dns).map(|servers| ("dns_server", servers)));
    if !answers.search_domains.is_empty() {
        options.push(("domain_search", quoted(&answers.search_domains.join(","))));
    }
    options
}

/// As OVN's expressions write several addresses.
fn list<T: ToString>(addresses: impl IntoIterator<Item = T>) -> Option<String> {
    let texts: Vec<String> = addresses.into_iter().map(|address| address.to_string()).collect();
    (!texts.is_empty()).then(|| format!("{{{}}}", texts.join(", ")))
}

/// As OVN's expressions write texts: ovn-northd takes over what it finds.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
