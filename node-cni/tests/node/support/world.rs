//! The rest of the world: another host, on the other side of the test host's uplink.

use meridian_node_cni::netns::Netns;

use super::{Host, NetnsGuard, netns, run};

/// A host beyond the uplink. It has no route to any pod.
#[derive(Debug)]
pub(crate) struct World {
    name: String,
    _guard: NetnsGuard,
}

impl World {
    /// The node's addresses on the uplink.
    pub(crate) const NODE_V4: &str = "192.0.2.1";
    pub(crate) const NODE_V6: &str = "2001:db8::1";
    /// The other host's.
    pub(crate) const V4: &str = "192.0.2.2";
    pub(crate) const V6: &str = "2001:db8::2";

    pub(crate) fn beyond(host: &Host) -> Self {
        let name = format!("{}-world", host.name());
        run("ip", &["netns", "add", &name]);
        let world = Self {
            _guard: NetnsGuard(name.clone()),
            name,
        };
        let pair = ["link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns"];
        run("ip", &[&["-n", host.name()], &pair[..], &[&world.name]].concat());
        for (namespace, device, v4, v6) in [
            (host.name(), "uplink", Self::NODE_V4, Self::NODE_V6),
            (&world.name, "eth0", Self::V4, Self::V6),
        ] {
            let (v4, v6) = (format!("{v4}/24"), format!("{v6}/64"));
            run("ip", &["-n", namespace, "addr", "add", &v4, "dev", device]);
            run("ip", &["-n", namespace, "addr", "add", &v6, "dev", device, "nodad"]);
            run("ip", &["-n", namespace, "link", "set", device, "up"]);
        }
        world
    }

    /// Name of its network namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn netns(&self) -> Netns {
        netns(&self.name)
    }
}
