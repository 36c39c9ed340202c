//! [`Applicant`]: who is to have addresses, and which by its status or by what it asks for.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use meridian_api::attachment::NETWORKS;
use meridian_model::{NetworkRequest, Pod};

use super::{POD_IPS, Pools, wants_port};
use crate::fixed;
use crate::slices::list;

/// Who is to have addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applicant<'a> {
    pod: &'a Pod,
    /// What it asks for, if it is a further interface.
    request: Option<&'a NetworkRequest>,
}

impl<'a> Applicant<'a> {
    /// A pod's first interface, whether or not it is to have a port.
    pub(super) fn of(pod: &'a Pod) -> Self {
        Self { pod, request: None }
    }

    pub(super) fn pod(&self) -> &'a Pod {
        self.pod
    }

    /// A pod's first interface, if it is to have a port once it has a node.
    pub(crate) fn first(pod: &'a Pod) -> Option<Self> {
        wants_port(pod).then_some(Self::of(pod))
    }

    /// The same of a further interface.
    pub(crate) fn further(pod: &'a Pod, request: &'a NetworkRequest) -> Option<Self> {
        Self::first(pod).map(|first| Self {
            request: Some(request),
            ..first
        })
    }

    /// What it had, where neither a row nor we know better.
    pub(super) fn had(&self) -> &'a [IpAddr] {
        let networks = self.request.zip(self.pod.networks.as_ref());
        networks.map_or(&[], |(request, networks)| networks.had(&request.interface))
    }
}

/// What a pod comes with.
pub(super) struct Wanted {
    pub(super) record: Box<[IpAddr]>,
    /// Whether it is to be given addresses of the other families, too.
    pub(super) wants_more: bool,
    /// What it waits for.
    pub(super) only: Box<[IpAddr]>,
}

/// What a pod's status says, or else what it asks for, judged by itself; if that makes no sense, the field and the message.
pub(super) fn wanted(
    Applicant { pod, request }: Applicant<'_>,
    space: &Pools,
) -> Result<Wanted, (&'static str, String)> {
    if let Some(request) = request {
        return match asked_for(&request.ips, space) {
            Ok(()) => Ok(Wanted {
                record: Box::default(),
                wants_more: false,
                only: request.ips.clone(),
            }),
            Err(message) => Err((NETWORKS, message)),
        };
    }
    if !pod.ips.is_empty() {
        return match recorded(pod, space) {
            Ok(record) => Ok(Wanted {
                record,
                wants_more: false,
                only: Box::default(),
            }),
            Err(message) => Err((POD_IPS, message)),
        };
    }
    let wrong = |message| (fixed::FIELD, message);
    let asked_for = fixed::addresses(pod).transpose().map_err(wrong)?.unwrap_or_default();
    judge(&asked_for, space).map_err(|(ip, unfit)| {
        wrong(match unfit {
            Unfit::Outside => format!(
                "{ip} is not in {}, where the pod is: take an address of that, or name a Subnet that has the address in the \
                 annotation meridian.dev/subnet",
                list(&space.networks())
            ),
            Unfit::Reserved(network) => format!(
                "{ip} is no pod's in {network}, but its network's, gateway's, host's or broadcast address: take another"
            ),
            Unfit::Second => second(ip, "a pod"),
        })
    })?;
    Ok(Wanted {
        wants_more: !asked_for.is_empty(),
        record: asked_for,
        only: Box::default(),
    })
}

/// Whether a further interface can have what it asks for, judged by itself.
pub(super) fn asked_for(ips: &[IpAddr], space: &Pools) -> Result<(), String> {
    judge(ips, space).map_err(|(ip, unfit)| match unfit {
        Unfit::Outside => format!(
            "{ip} is not in {}, where the interface is: ask for another",
            list(&space.networks())
        ),
        Unfit::Reserved(network) => format!(
            "{ip} is no pod's in {network}, but its network's, gateway's, host's or broadcast address: ask for another"
        ),
        Unfit::Second => second(ip, "an interface"),
    })
}

/// What a pod's status says, judged by itself.
fn recorded(pod: &Pod, space: &Pools) -> Result<Box<[IpAddr]>, String> {
    let judged = judge(&pod.ips, space).map_err(|(ip, unfit)| match unfit {
        Unfit::Outside => format!(
            "{ip} is not in its node's slice {}: delete the pod to give it another",
            list(&space.networks())
        ),
        Unfit::Reserved(network) => format!(
            "{ip} is reserved in {network}, as its network, gateway, management or broadcast address: delete the pod to \
             give it another"
        ),
        Unfit::Second => second(ip, "a pod"),
    });
    judged.map(|()| pod.ips.clone())
}

/// Why an address cannot be had.
enum Unfit {
    /// No network of the segment has it.
    Outside,
    /// It can be nobody's in that network.
    Reserved(IpNetwork),
    /// There is one of its family already.
    Second,
}

/// Whether addresses can be had together in a segment; or else the first that cannot.
fn judge(ips: &[IpAddr], Pools(pools): &Pools) -> Result<(), (IpAddr, Unfit)> {
    let mut families = [false; 2];
    for &ip in ips {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            return Err((ip, Unfit::Outside));
        };
        if !pool.admits(ip) {
            return Err((ip, Unfit::Reserved(pool.network())));
        }
        if std::mem::replace(&mut families[usize::from(ip.is_ipv6())], true) {
            return Err((ip, Unfit::Second));
        }
    }
    Ok(())
}

fn second(ip: IpAddr, who: &str) -> String {
    format!("{ip} is a second address of its family: {who} has one per family")
}
