//! The strict floor: only what has to happen, in a process that runs and is connected already.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;
use meridian_node_cni::netlink::{self, Route, RouteOwner, Rtnetlink, Veth};
use meridian_node_cni::netns::Netns;
use meridian_node_cni::sysctl;
use ovsdb::blocking::Client;
use ovsdb::{Condition, Datum, Mutation, TableMonitor, Transaction};
use ovsdb_schemas::open_vswitch::{DATABASE, bridge, interface, port};
use uuid::Uuid;

use crate::Side;
use crate::steps::{Stopwatch, Timed};
use crate::support::{Host, Pod};

/// Nothing measured here takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const MTU: u16 = 1442;

/// A connection with a monitor of all interfaces.
#[derive(Debug)]
pub(crate) struct InProcess {
    client: Client,
}

impl InProcess {
    pub(crate) fn connect(host: &Host) -> Self {
        let socket = host.path("db.sock");
        let mut client = Client::connect(Path::new(&socket), soon()).expect("the server listens");
        let interfaces = TableMonitor::new(interface::TABLE).columns([interface::EXTERNAL_IDS]);
        client.monitor(DATABASE, &[interfaces]).expect("a valid monitor");
        Self { client }
    }

    fn plug(&mut self, pod: &Pod) -> Uuid {
        let (interface_uuid, port_uuid) = (Uuid::new_v4(), Uuid::new_v4());
        let (device, facts) = (pod.device(), pod.facts());
        let ids = [
            ("iface-id", pod.port()),
            ("iface-id-ver", pod.uid.clone()),
            ("attached-mac", facts.mac),
            ("sandbox", pod.container_id.clone()),
        ];
        let ids = Datum::map(ids.iter().map(|(key, value)| (*key, value.as_str())));
        let mut transaction = Transaction::new(DATABASE);
        transaction
            .insert(
                interface::TABLE,
                Some(interface_uuid),
                [
                    (interface::NAME, Datum::scalar(device.as_str())),
                    (interface::EXTERNAL_IDS, ids),
                ],
            )
            .insert(
                port::TABLE,
                Some(port_uuid),
                [
                    (port::NAME, Datum::scalar(device.as_str())),
                    (port::INTERFACES, Datum::scalar(interface_uuid)),
                ],
            )
            .mutate(
                bridge::TABLE,
                Condition::eq(bridge::NAME, "br-int").into(),
                [Mutation::insert(bridge::PORTS, Datum::scalar(port_uuid))],
            );
        self.client.transact(&transaction).expect("a valid transaction");
        interface_uuid
    }

    fn is_installed(&self, uuid: Uuid) -> bool {
        let row = self.client.replica().row(interface::TABLE, uuid);
        row.is_some_and(|row| row.get(interface::EXTERNAL_IDS).get_str("ovn-installed") == Some("true"))
    }
}

impl Side for InProcess {
    fn name(&self) -> &'static str {
        "in-process"
    }

    fn prepare(&mut self) {
        self.client.set_deadline(soon());
        // What others' turns changed, until there is nothing more to come.
        let moment = Duration::from_millis(20);
        while self
            .client
            .wait_update(Instant::now() + moment)
            .expect("the server stays")
        {}
    }

    fn attach(&mut self, _: &Host, pod: &Pod) -> Timed {
        let (device, facts) = (pod.device(), pod.facts());
        let mut watch = Stopwatch::start();
        let netns = Netns::open(&pod.path()).expect("the pod has a network namespace");
        let mut rtnetlink = Rtnetlink::open().expect("netlink");
        let veth = Veth {
            host: &device,
            pod: "eth0",
            netns: netns.as_fd(),
            mac: facts.mac.parse().expect("a MAC address"),
            mtu: MTU.into(),
        };
        rtnetlink.create_veth(&veth).expect("a veth");
        watch.ended(2);
        host_end(&mut rtnetlink, &device);
        watch.ended(3);
        let interface = self.plug(pod);
        watch.ended(4);
        netns
            .run(|| pod_end(&facts.ips, &facts.gateways))
            .expect("the pod has a network namespace");
        watch.ended(5);
        while !self.is_installed(interface) {
            let changed = self.client.wait_update(soon()).expect("the server stays");
            assert!(changed, "no flows of {} in time", pod.port());
        }
        watch.ended(6);
        watch.stop()
    }
}

fn host_end(rtnetlink: &mut Rtnetlink, device: &str) {
    sysctl::set(&format!("ipv4/conf/{device}/arp_ignore"), "8").expect("a setting");
    sysctl::set(&format!("ipv6/conf/{device}/disable_ipv6"), "1").expect("a setting");
    netlink::shield(device).expect("a shield");
    let link = rtnetlink.link(device).expect("netlink").expect("it was just made");
    rtnetlink.set_up(link.index, None).expect("a device");
}

fn pod_end(ips: &[IpNetwork], gateways: &[std::net::IpAddr]) {
    let mut rtnetlink = Rtnetlink::open().expect("netlink");
    let link = rtnetlink.link("eth0").expect("netlink").expect("it was just made");
    for (key, value) in [("disable_ipv6", "0"), ("accept_ra", "0"), ("dad_transmits", "0")] {
        sysctl::set(&format!("ipv6/conf/eth0/{key}"), value).expect("a setting");
    }
    netlink::disable_tx_checksum("eth0").expect("a veth has offloads");
    for ip in ips {
        rtnetlink.add_address(link.index, *ip).expect("an address");
    }
    rtnetlink.set_up(link.index, None).expect("a device");
    for gateway in gateways {
        let any = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        let route = Route {
            index: link.index,
            destination: any.parse().expect("a network"),
            gateway: Some(*gateway),
            source: None,
            owner: RouteOwner::Static,
        };
        rtnetlink.set_route(&route, false).expect("a route");
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}
