//! The API server's way to pods. It calls webhooks and follows `kubectl`'s proxy requests to pods, and its host is no node:
//! each node's slice is routed to the node, as clouds' route controllers do it.

use std::fmt::Write as _;

use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::command::Cmd;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::links;
use crate::plan::{Host, Plan};

impl Lab {
    /// Sets the central host's routes to these nodes' slices, which they have been given when they are Ready.
    pub(super) fn route_slices(&self, hosts: &[Host]) -> Result<()> {
        let text = self.kubectl(["get", "nodes", "--output=json"])?;
        let nodes: Value = serde_json::from_str(&text).map_err(|e| Error::Object {
            object: "the list of nodes".into(),
            reason: e.to_string(),
        })?;
        let mut batch = String::new();
        for host in hosts {
            for slice in slices(&nodes, &host.name) {
                if let Some(via) = via(self.plan(), host, slice) {
                    // A host that is made anew may have been given another's former slice.
                    writeln!(batch, "route replace {slice} via {via} dev eth0").ok();
                }
            }
        }
        links::ip(Some(&self.plan().central()), batch)
    }

    /// Takes away the routes to a host that is gone.
    pub(super) fn unroute_slices(&self, host: &Host) -> Result<()> {
        for via in self.plan().node_ips(host) {
            let family = if via.is_ipv4() { "-4" } else { "-6" };
            Cmd::new("ip")
                .args([family, "route", "flush", "via", &via.ip().to_string(), "dev", "eth0"])
                .netns(&self.plan().central())
                .run()?;
        }
        Ok(())
    }
}

fn slices<'a>(nodes: &'a Value, name: &'a str) -> impl Iterator<Item = IpNetwork> + 'a {
    let items = nodes["items"].as_array().into_iter().flatten();
    items
        .filter(move |node| node["metadata"]["name"] == name)
        .flat_map(|node| node["spec"]["podCIDRs"].as_array().into_iter().flatten())
        .filter_map(|cidr| cidr.as_str()?.parse().ok())
}

fn via(plan: &Plan, host: &Host, slice: IpNetwork) -> Option<std::net::IpAddr> {
    let ips = plan.node_ips(host);
    ips.iter().map(IpNetwork::ip).find(|ip| ip.is_ipv4() == slice.is_ipv4())
}
