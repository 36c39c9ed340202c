//! Whether a Subnet can be used, and if not, why.
//!
//! What it says of its networks is for good, and a fault there keeps everybody out. What can be changed at any time, as its reserved
//! ranges, must not take ports away from pods that are there: such faults are reported and left aside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use meridian_api::name::is_subnet;
use meridian_api::range::AddressRange;
use meridian_model::{Key, Name, Subnet};

use super::State;
use super::judge::{self, Fault, Ground};
use crate::ip;
use crate::names::DEFAULT_VPC;
use crate::pool::Layout;
use crate::segment::SubnetKey;

/// A Subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubnetState {
    pub(crate) object: Arc<Subnet>,
    /// Its networks that nothing is wrong with, one per family.
    pub(crate) layouts: Box<[Layout]>,
    /// Field and message of what keeps it from being used.
    pub(crate) faults: Vec<(String, String)>,
    /// Whether one of them is a clash with something that was there before.
    pub(crate) conflict: bool,
    /// Why its VPC cannot have it yet.
    pub(crate) waiting: Option<String>,
    /// Field and message of what is wrong and keeps it from nothing else.
    pub(crate) flaws: Vec<(String, String)>,
    /// What is wrong elsewhere because of it: object, field and message.
    pub(crate) clashes: Vec<(Key, String, String)>,
    /// What whoever asks by DHCP is told, if anybody answers.
    pub(crate) dhcp: Option<Answers>,
    /// Who in it forwards what routes of its VPC lead to it, and for which networks.
    pub(crate) forwards: BTreeMap<IpAddr, Vec<IpNetwork>>,
}

/// What DHCP tells beside addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) dns_servers: Vec<IpAddr>,
    pub(crate) domain_name: Option<Name>,
    pub(crate) search_domains: Vec<Name>,
    pub(crate) ntp_servers: Vec<Ipv4Addr>,
    /// In seconds.
    pub(crate) lease_time: u32,
    /// In bytes.
    pub(crate) mtu: Option<u16>,
}

impl SubnetState {
    pub(crate) fn key(&self) -> SubnetKey {
        SubnetKey {
            vpc: self.object.vpc.clone(),
            name: self.object.name.clone(),
        }
    }

    /// Whether what is in it works.
    pub(crate) fn is_usable(&self) -> bool {
        self.faults.is_empty() && self.waiting.is_none()
    }

    pub(crate) fn networks(&self) -> impl Iterator<Item = IpNetwork> {
        self.layouts.iter().map(|layout| layout.network)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.networks().any(|network| network.contains(address))
    }

    /// Why nothing new can be in it.
    pub(crate) fn refusal(&self) -> Option<String> {
        let name = &self.object.name;
        if let Some((field, message)) = self.faults.first() {
            return Some(format!("Subnet {name} is not ready: {field}: {message}"));
        }
        if let Some(why) = &self.waiting {
            return Some(format!("Subnet {name} is not ready: {why}"));
        }
        let deleting = self.object.deleting;
        deleting.then(|| format!("Subnet {name} is being deleted: nothing new is let in"))
    }
}

/// Judges all, the oldest first, and tells the VPCs which of them they have.
pub(super) fn all(ground: &Ground<'_>, states: &mut BTreeMap<Name, State>) -> BTreeMap<Name, SubnetState> {
    let mut order: Vec<&Arc<Subnet>> = ground.cluster.subnets().collect();
    order.sort_by_key(|subnet| (subnet.created, subnet.name.clone()));
    let mut subnets: BTreeMap<Name, SubnetState> = BTreeMap::new();
    for subnet in order {
        let state = judge(subnet, ground, states, &subnets);
        subnets.insert(subnet.name.clone(), state);
    }
    for subnet in subnets.values().filter(|subnet| subnet.is_usable()) {
        if let Some(vpc) = states.get_mut(&subnet.object.vpc) {
            vpc.subnets
                .push((subnet.object.name.clone(), subnet.networks().collect()));
        }
    }
    for state in states.values_mut() {
        let Some(name) = &state.object.default_subnet else {
            continue;
        };
        let why = match subnets.get(name) {
            None => format!("there is no Subnet {name}"),
            Some(subnet) if subnet.object.vpc != state.object.name => {
                format!("Subnet {name} is of VPC {}", subnet.object.vpc)
            }
            Some(subnet) => match subnet.refusal() {
                Some(why) => why,
                None => continue,
            },
        };
        state.clashes.push((
            Key::Vpc(state.object.name.clone()),
            "spec.defaultSubnet".to_owned(),
            format!("{why}: pods that name no other Subnet wait"),
        ));
    }
    subnets
}

fn judge(
    subnet: &Arc<Subnet>,
    ground: &Ground<'_>,
    states: &BTreeMap<Name, State>,
    older: &BTreeMap<Name, SubnetState>,
) -> SubnetState {
    let mut state = SubnetState {
        object: subnet.clone(),
        layouts: Box::default(),
        faults: Vec::new(),
        conflict: false,
        waiting: None,
        flaws: Vec::new(),
        clashes: Vec::new(),
        dhcp: None,
        forwards: BTreeMap::new(),
    };
    let name = &subnet.name;
    if !is_subnet(name) {
        let message =
            format!("{name:?} cannot be the name of a Subnet: it has at most 63 characters, of a-z, 0-9 and -");
        state.faults.push(("metadata.name".to_owned(), message));
    }
    let vpc = states.get(&subnet.vpc);
    match vpc {
        _ if &*subnet.vpc == DEFAULT_VPC => {
            let message =
                "the VPC default has no Subnets, because its hosts have routes to slices alone: name another VPC";
            state.faults.push(("spec.vpc".to_owned(), message.to_owned()));
        }
        None => state.waiting = Some(format!("there is no VPC {}", subnet.vpc)),
        Some(vpc) if !vpc.is_usable() => state.waiting = Some(format!("VPC {} is not ready", subnet.vpc)),
        Some(_) => {}
    }
    let mut networks: Vec<IpNetwork> = Vec::new();
    for (index, text) in subnet.cidrs.iter().enumerate() {
        match cidr(text, subnet, &networks, ground, (states, older)) {
            Ok(network) => networks.push(network),
            Err(Fault { message, is_clash, .. }) => {
                state.conflict |= is_clash;
                state.faults.push((format!("spec.cidrs[{index}]"), message));
            }
        }
    }
    if subnet.cidrs.is_empty() {
        let message = "a Subnet needs a network that pods have addresses of";
        state.faults.push(("spec.cidrs".to_owned(), message.to_owned()));
    }
    let gateways = gateways(subnet, &networks, &mut state.faults);
    let reserved = reserved(subnet, &networks, &mut state.flaws);
    state.clashes = judge::clashes(&networks, subnet.created, &format!("Subnet {name}"), ground.cluster);
    let layout = |(network, gateway): (&IpNetwork, IpAddr)| {
        let inside: Vec<AddressRange> = reserved
            .iter()
            .filter(|range| network.contains(range.first()))
            .copied()
            .collect();
        Layout::subnet(*network, gateway, &inside)
    };
    state.layouts = networks.iter().zip(gateways).map(layout).collect();
    state.dhcp = answers(subnet, vpc, &mut state.flaws);
    state
}

fn cidr(
    text: &str,
    subnet: &Subnet,
    earlier: &[IpNetwork],
    ground: &Ground<'_>,
    (states, older): (&BTreeMap<Name, State>, &BTreeMap<Name, SubnetState>),
) -> Result<IpNetwork, Fault> {
    let network = judge::network(text, earlier, "a Subnet")?;
    let most = ip::longest_subnet(network);
    if network.prefix() > most {
        return Err(Fault::here(format!(
            "{network} has no room for a gateway and a pod: take at least a /{most}"
        )));
    }
    if let Some(vpc) = states.get(&subnet.vpc).filter(|vpc| vpc.is_usable())
        && vpc
            .network
            .cidrs()
            .iter()
            .all(|cidr| cidr.is_ipv4() != network.is_ipv4())
    {
        let family = if network.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(Fault::here(format!(
            "{network} is of {family}, and VPC {} has no network of {family} in spec.podNetwork.cidrs, by which hosts reach its \
             pods: take a network of a family that it has",
            subnet.vpc
        )));
    }
    let clash = |what: String| {
        Err(Fault {
            is_clash: true,
            ..Fault::here(format!("{network} overlaps {what}: take another network"))
        })
    };
    if let Some(what) = judge::overlapped(network, subnet.created, ground) {
        return clash(what);
    }
    // Hosts tell pods by their addresses, and a node may have slices of any VPC.
    let of_vpc = |state: &State| {
        let is_before = state.object.name == subnet.vpc || state.object.created <= subnet.created;
        let mut cidrs = state.network.cidrs().iter().filter(|_| is_before);
        let cidr = cidrs.find(|cidr| ip::overlap(**cidr, network))?;
        Some(format!("{cidr} of VPC {}", state.object.name))
    };
    if let Some(what) = states.values().find_map(of_vpc) {
        return clash(what);
    }
    let mut beside = older.values().filter(|other| other.object.vpc == subnet.vpc);
    let taken = beside.find_map(|other| {
        let theirs = other.networks().find(|theirs| ip::overlap(*theirs, network))?;
        Some(format!("{theirs} of Subnet {} of the same VPC", other.object.name))
    });
    match taken {
        Some(what) => clash(what),
        None => Ok(network),
    }
}

/// The gateway of each network.
fn gateways(subnet: &Subnet, networks: &[IpNetwork], faults: &mut Vec<(String, String)>) -> Vec<IpAddr> {
    let mut gateways: Vec<IpAddr> = networks.iter().map(|network| ip::gateway(*network)).collect();
    let mut given = BTreeSet::new();
    for (index, text) in subnet.gateways.iter().enumerate() {
        let mut wrong = |message| faults.push((format!("spec.gateways[{index}]"), message));
        let Ok(address) = text.parse::<IpAddr>() else {
            wrong(format!("{text:?} is no IP address: write it like 10.20.0.1"));
            continue;
        };
        let Some(at) = networks.iter().position(|network| network.contains(address)) else {
            wrong(format!(
                "{address} is in none of spec.cidrs: take an address of one of them"
            ));
            continue;
        };
        if !given.insert(at) {
            wrong(format!("{address} is a second gateway of {}: it has one", networks[at]));
            continue;
        }
        let (first, last) = ip::subnet_offsets(networks[at]);
        if !ip::offset(networks[at], address).is_some_and(|offset| (first..=last).contains(&offset)) {
            wrong(format!(
                "{address} is the first or the last address of {}, which no host can have: take another",
                networks[at]
            ));
            continue;
        }
        gateways[at] = address;
    }
    gateways
}

fn reserved(subnet: &Subnet, networks: &[IpNetwork], flaws: &mut Vec<(String, String)>) -> Vec<AddressRange> {
    let mut ranges = Vec::new();
    for (index, text) in subnet.reserved.iter().enumerate() {
        let message = match text.parse::<AddressRange>() {
            Err(error) => format!("{error}; nothing is reserved by it"),
            Ok(range) => {
                let holds = |network: &IpNetwork| network.contains(range.first()) && network.contains(range.last());
                if networks.iter().any(holds) {
                    ranges.push(range);
                    continue;
                }
                format!("{range} is not in one of spec.cidrs: nothing is reserved by it")
            }
        };
        flaws.push((format!("spec.reservedRanges[{index}]"), message));
    }
    ranges
}

/// What DHCP tells: what the Subnet says, or else its VPC.
fn answers(subnet: &Subnet, vpc: Option<&State>, flaws: &mut Vec<(String, String)>) -> Option<Answers> {
    let dhcp = subnet.dhcp.as_ref()?;
    let left_out = |text: &str, what: &str| format!("{text:?} is no {what}: it is left out");
    let addresses = |field: &str, texts: &[Name], flaws: &mut Vec<(String, String)>| {
        let mut read = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match text.parse::<IpAddr>() {
                Ok(address) => read.push(address),
                Err(_) => flaws.push((format!("spec.dhcp.{field}[{index}]"), left_out(text, "IP address"))),
            }
        }
        read
    };
    let mut dns_servers = addresses("dnsServers", &dhcp.dns_servers, flaws);
    let mut ntp_servers = Vec::new();
    for (index, text) in dhcp.ntp_servers.iter().enumerate() {
        match text.parse::<Ipv4Addr>() {
            Ok(address) => ntp_servers.push(address),
            Err(_) => flaws.push((format!("spec.dhcp.ntpServers[{index}]"), left_out(text, "IPv4 address"))),
        }
    }
    let mut search_domains = Vec::new();
    for (index, text) in dhcp.search_domains.iter().enumerate() {
        if is_domain(text) {
            search_domains.push(text.clone());
        } else {
            flaws.push((format!("spec.dhcp.searchDomains[{index}]"), left_out(text, "domain")));
        }
    }
    if let Some(vpc) = vpc {
        // What of it cannot be read is said of the VPC.
        if dhcp.dns_servers.is_empty() {
            dns_servers.extend(
                vpc.object
                    .dns_servers
                    .iter()
                    .filter_map(|text| text.parse::<IpAddr>().ok()),
            );
        }
        if dhcp.search_domains.is_empty() {
            search_domains.extend(vpc.object.search_domains.iter().filter(|text| is_domain(text)).cloned());
        }
    }
    let domain_name = dhcp.domain_name.clone().filter(|text| {
        if !is_domain(text) {
            flaws.push(("spec.dhcp.domainName".to_owned(), left_out(text, "domain")));
        }
        is_domain(text)
    });
    let lease_time = u32::try_from(dhcp.lease_time).ok().filter(|time| *time >= 60);
    if lease_time.is_none() {
        let message = format!("{} is not 60 to {} seconds: it is 3600", dhcp.lease_time, u32::MAX);
        flaws.push(("spec.dhcp.leaseTime".to_owned(), message));
    }
    Some(Answers {
        dns_servers,
        domain_name,
        search_domains,
        ntp_servers,
        lease_time: lease_time.unwrap_or(3600),
        mtu: dhcp.mtu,
    })
}

/// Whether a text can be a domain. It ends up between quotes of OVN's.
pub(super) fn is_domain(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=253).contains(&text.len()) && text.bytes().all(plain)
}
