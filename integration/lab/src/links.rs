//! The cables: a switch in a namespace of its own, the hosts' two interfaces on it, addresses.
//! Nothing of it is in the machine's own namespace.
//!
//! ```text
//!  mlab-fabric   br-node ── eth0 of central and hosts (OVSDB, Kubernetes traffic)
//!                br-tun ─── eth1 of hosts (Geneve); lo answers on the "world" addresses
//! ```

use std::fmt::Write as _;

use ipnetwork::IpNetwork;

use crate::command::Cmd;
use crate::error::Result;
use crate::journal::Journal;
use crate::machine::Datapath;
use crate::netns;
use crate::plan::{Host, Plan, WORLD_V4, WORLD_V6};

/// The interface that carries tunnels.
pub(crate) const UPLINK: &str = "eth1";
/// The OVS bridge that holds the uplink with the userspace datapath.
pub(crate) const PHYSICAL_BRIDGE: &str = "br-phys";

/// Parameters of every namespace: addresses are usable at once.
const COMMON: &[(&str, &str)] = &[
    ("?net/ipv6/conf/all/disable_ipv6", "0"),
    ("?net/ipv6/conf/default/disable_ipv6", "0"),
    ("?net/ipv6/conf/all/accept_dad", "0"),
    ("?net/ipv6/conf/default/accept_dad", "0"),
];

/// What a Kubernetes node needs of its kernel, and Debian's default for the reverse path.
const ROUTER: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("?net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/rp_filter", "2"),
    ("net/ipv4/conf/default/rp_filter", "2"),
];

/// Makes the switch.
pub(crate) fn fabric(plan: &Plan, journal: &Journal) -> Result<()> {
    let name = plan.fabric();
    journal.create_netns(&name)?;
    netns::sysctl(&name, COMMON)?;
    let mut batch = String::new();
    for bridge in ["br-node", "br-tun"] {
        // Snooping would swallow neighbour discovery until somebody has reported.
        writeln!(batch, "link add {bridge} type bridge mcast_snooping 0").ok();
        writeln!(batch, "link set {bridge} up").ok();
    }
    addresses(&mut batch, "br-node", &plan.gateway_ips());
    if plan.options.families.v4() {
        writeln!(batch, "addr add {WORLD_V4}/32 dev lo").ok();
    }
    if plan.options.families.v6() {
        writeln!(batch, "addr add {WORLD_V6}/128 dev lo nodad").ok();
    }
    ip(Some(&name), batch)
}

/// Makes the host of OVN central and plugs it in.
pub(crate) fn central(plan: &Plan, journal: &Journal) -> Result<()> {
    let name = plan.central();
    journal.create_netns(&name)?;
    netns::sysctl(&name, COMMON)?;
    node_link(plan, &name, "central", &plan.central_ips())
}

/// Makes a host and plugs both its interfaces in. The tunnel address comes later, with
/// [`tunnel_address`], when the device it sits on is there.
pub(crate) fn host(plan: &Plan, journal: &Journal, host: &Host, datapath: Datapath) -> Result<()> {
    let name = plan.netns(&host.name);
    journal.create_netns(&name)?;
    netns::sysctl(&name, COMMON)?;
    netns::sysctl(&name, ROUTER)?;
    node_link(plan, &name, &host.name, &plan.node_ips(host))?;
    let [_, end] = far_ends(host);
    cable(plan, &name, UPLINK, "br-tun", &end)?;
    if datapath == Datapath::Netdev {
        shield_uplink(&name)?;
    }
    ip(Some(&name), format!("link set {UPLINK} up\n"))
}

/// The far ends of a host's cables, in the switch's namespace.
pub(crate) fn far_ends(host: &Host) -> [String; 2] {
    [format!("n-{}", host.name), format!("t-{}", host.name)]
}

/// Whether a namespace has an interface of this name.
pub(crate) fn exists(netns: &str, device: &str) -> bool {
    Cmd::new("ip")
        .args(["link", "show", "dev", device])
        .netns(netns)
        .run()
        .is_ok()
}

/// Gives the host its tunnel address. With the userspace datapath the device is ovs-vswitchd's,
/// so this is repeated whenever that restarts.
pub(crate) fn tunnel_address(plan: &Plan, host: &Host, datapath: Datapath) -> Result<()> {
    let device = match datapath {
        Datapath::System => UPLINK,
        Datapath::Netdev => PHYSICAL_BRIDGE,
    };
    ip(Some(&plan.netns(&host.name)), device_up(device, &plan.tunnel_ips(host)))
}

/// The same on the host itself, for who lives there.
pub(crate) fn bridge_addresses(ips: &[IpNetwork]) -> Result<()> {
    ip(None, device_up(PHYSICAL_BRIDGE, ips))
}

fn device_up(device: &str, ips: &[IpNetwork]) -> String {
    let mut batch = format!("link set {device} up\n");
    addresses(&mut batch, device, ips);
    batch
}

/// With the userspace datapath the uplink belongs to ovs-vswitchd, yet the host's own stack sees
/// its packets too: it would answer for the tunnel address and refuse the tunnel's packets with
/// ICMP. Dropping on ingress comes after the packet socket that ovs-vswitchd reads. Its sender
/// must fill in checksums, which the packet socket would otherwise never see.
fn shield_uplink(netns: &str) -> Result<()> {
    let rules = format!(
        "table netdev lab-uplink {{ chain ingress {{ \
         type filter hook ingress device \"{UPLINK}\" priority 0; policy drop; }}; }}\n"
    );
    Cmd::new("nft").args(["-f", "-"]).input(rules).netns(netns).run()?;
    Cmd::new("ethtool")
        .args(["-K", UPLINK, "tx", "off"])
        .netns(netns)
        .run()?;
    netns::sysctl(netns, &[("?net/ipv6/conf/eth1/disable_ipv6", "1")])
}

fn node_link(plan: &Plan, netns: &str, who: &str, ips: &[IpNetwork]) -> Result<()> {
    cable(plan, netns, "eth0", "br-node", &format!("n-{who}"))?;
    let mut batch = String::from("link set eth0 up\n");
    addresses(&mut batch, "eth0", ips);
    for gateway in plan.gateway_ips() {
        writeln!(batch, "route add default via {} dev eth0", gateway.ip()).ok();
    }
    ip(Some(netns), batch)
}

fn cable(plan: &Plan, netns: &str, device: &str, bridge: &str, end: &str) -> Result<()> {
    ip(
        Some(&plan.fabric()),
        format!(
            "link add {end} type veth peer name {device} netns {netns}\n\
             link set {end} master {bridge} up\n"
        ),
    )
}

fn addresses(batch: &mut String, device: &str, ips: &[IpNetwork]) {
    for ip in ips {
        let nodad = if ip.is_ipv6() { " nodad" } else { "" };
        // `replace`: the address may be there when a restart repeats it.
        writeln!(batch, "addr replace {ip} dev {device}{nodad}").ok();
    }
}

/// In a namespace, or in our own.
pub(crate) fn ip(netns: Option<&str>, batch: String) -> Result<()> {
    let cmd = Cmd::new("ip").args(["-batch", "-"]).input(batch);
    // In the namespace rather than with `ip -n`, which mounts a fresh /sys each time.
    match netns {
        Some(netns) => cmd.netns(netns),
        None => cmd,
    }
    .run()
    .map(drop)
}
