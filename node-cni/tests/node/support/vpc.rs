//! VPCs beside the default one, as the translator would write them.

use ipnetwork::IpNetwork;
use meridian_api::name;
use meridian_api::port::{PortFacts, PortKind, VpcFacts};
use ovsdb::testing::eventually;

use super::service::Rig;
use super::{Agent, Host, NODE};

/// Prefix lengths of a slice's networks.
const SLICE: [u8; 2] = [24, 64];

/// A switch of a VPC, and what the addresses there begin with: what a node has of the VPC, or a Subnet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) vpc: &'static str,
    pub(crate) switch: &'static str,
    pub(crate) v4: &'static str,
    pub(crate) v6: &'static str,
    /// Prefix lengths and router of each family.
    lengths: [u8; 2],
    gateways: [&'static str; 2],
    pub(crate) mac: &'static str,
}

impl Slice {
    pub(crate) const DEFAULT: Self = Self {
        vpc: "default",
        switch: "vpc-default-n1",
        v4: "10.244.1",
        v6: "fd00:10:244:1",
        lengths: SLICE,
        gateways: ["10.244.1.1", "fd00:10:244:1::1"],
        mac: "0a:58:0a:f4:01",
    };
    /// That of another node, whose pods are here because there is one host only.
    pub(crate) const ELSEWHERE: Self = Self {
        vpc: "default",
        switch: "vpc-default-n2",
        v4: "10.244.2",
        v6: "fd00:10:244:2",
        lengths: SLICE,
        gateways: ["10.244.2.1", "fd00:10:244:2::1"],
        mac: "0a:58:0a:f4:02",
    };
    pub(crate) const BLUE: Self = Self {
        vpc: "blue",
        switch: "vpc-blue.n1",
        v4: "10.8.1",
        v6: "fd00:8:1",
        lengths: SLICE,
        gateways: ["10.8.1.1", "fd00:8:1::1"],
        mac: "0a:58:0a:08:01",
    };
    pub(crate) const GREEN: Self = Self {
        vpc: "green",
        switch: "vpc-green.n1",
        v4: "10.9.1",
        v6: "fd00:9:1",
        lengths: SLICE,
        gateways: ["10.9.1.1", "fd00:9:1::1"],
        mac: "0a:58:0a:09:01",
    };

    /// A Subnet of `blue`, whose router has not the first address.
    pub(crate) const DB: Self = Self {
        vpc: "blue",
        switch: "subnet-blue.db",
        v4: "10.20.0",
        v6: "fd00:20:0",
        lengths: [16, 48],
        gateways: ["10.20.255.254", "fd00:20:0:ffff::fffe"],
        mac: "0a:58:0a:14:00",
    };
    /// One of `green` with the same addresses.
    pub(crate) const GREEN_DB: Self = Self {
        vpc: "green",
        switch: "subnet-green.db",
        ..Self::DB
    };
    /// One of the default VPC.
    pub(crate) const DEFAULT_DB: Self = Self {
        vpc: "default",
        switch: "subnet-default.db",
        v4: "10.30.0",
        v6: "fd00:30:0",
        lengths: [20, 60],
        gateways: ["10.30.0.1", "fd00:30:0::1"],
        mac: "0a:58:0a:1e:00",
    };

    /// A host's address there.
    pub(crate) fn interface(&self, v4: bool, host_part: u32) -> IpNetwork {
        let [length4, length6] = self.lengths;
        let text = if v4 {
            format!("{}.{host_part}/{length4}", self.v4)
        } else {
            format!("{}::{host_part:x}/{length6}", self.v6)
        };
        text.parse().unwrap()
    }

    /// The router's address there.
    pub(crate) fn gateway(&self, v4: bool) -> &'static str {
        self.gateways[usize::from(!v4)]
    }

    /// That of the whole VPC.
    pub(crate) fn vpc_network(&self) -> String {
        let (vpc, _) = self.v4.rsplit_once('.').expect("three octets");
        format!("{vpc}.0.0/16")
    }

    /// The host's address there.
    pub(crate) fn management(&self, v4: bool) -> String {
        if v4 {
            format!("{}.2", self.v4)
        } else {
            format!("{}::2", self.v6)
        }
    }
}

impl Rig {
    /// A VPC whose pods reach what these words of `meridian/reach` say; waits until the host is in it.
    pub(crate) fn create_vpc(&self, slice: Slice, reach: &str) {
        self.host.create_vpc(&self.agent, slice, reach);
    }

    /// Changes what pods of a VPC reach, and waits until the host has heard.
    pub(crate) fn let_reach(&self, slice: Slice, reach: &str) {
        let port = name::management_port("", slice.vpc, NODE);
        let before = self.nft(&["list", "table", "inet", "meridian"]);
        let ids = format!("external_ids:\"meridian/reach\"=\"{reach}\"");
        self.host.nbctl(&["set", "Logical_Switch_Port", &port, &ids]);
        eventually("the rules are others", || {
            (self.nft(&["list", "table", "inet", "meridian"]) != before).then_some(())
        });
    }
}

impl Host {
    /// A VPC whose pods reach what these words of `meridian/reach` say; waits until the host is in it.
    pub(crate) fn create_vpc(&self, agent: &Agent, slice: Slice, reach: &str) {
        self.create_slice(slice);
        let words: Vec<_> = reach.split_whitespace().collect();
        let facts = PortFacts {
            ips: vec![
                format!("{}.2/24", slice.v4).parse().unwrap(),
                format!("{}::2/64", slice.v6).parse().unwrap(),
            ],
            vpc: Some(VpcFacts {
                name: slice.vpc.into(),
                services: words.contains(&"services"),
                outside: words.contains(&"outside"),
                networks: vec![slice.vpc_network().parse().unwrap()],
            }),
            ..PortFacts::new(PortKind::Management, format!("{}:02", slice.mac))
        };
        let port = name::management_port("", slice.vpc, NODE);
        self.create_port_on(slice.switch, &port, &facts, NODE);
        for (everything, v4) in [("0.0.0.0/0", true), ("::/0", false)] {
            let router = format!("vpc-{}", slice.vpc);
            self.nbctl(&["lr-route-add", &router, everything, &slice.management(v4)]);
        }
        eventually("the host is in the VPC", || {
            let status = agent.status()?;
            let port = status.management.iter().find(|found| found.port == port)?;
            assert_eq!(port.vpc.as_deref(), Some(slice.vpc));
            assert_eq!(port.device, format!("mrm{}", slice.vpc));
            (port.installed && port.configured && status.ready && status.unavailable.is_none()).then_some(())
        });
        self.await_forwarding();
    }

    /// A switch on the router of its VPC, which is made if there is none.
    pub(crate) fn create_slice(&self, slice: Slice) {
        let Slice { vpc, switch, mac, .. } = slice;
        let router = format!("vpc-{vpc}");
        let uplink = format!("{switch}-router");
        let [v4, v6] = [true, false].map(|v4| format!("{}/{}", slice.gateway(v4), slice.lengths[usize::from(!v4)]));
        let mac = format!("{mac}:01");
        let peer = format!("router-port={switch}");
        let commands: [&[&str]; 6] = [
            &["--may-exist", "lr-add", &router],
            &["ls-add", switch],
            &["lrp-add", &router, switch, &mac, &v4, &v6],
            &["lsp-add", switch, &uplink],
            &["lsp-set-type", &uplink, "router"],
            &["lsp-set-addresses", &uplink, "router"],
        ];
        let mut arguments = commands.join(&"--");
        arguments.extend(["--", "lsp-set-options", &uplink, &peer]);
        self.nbctl(&arguments);
    }
}
