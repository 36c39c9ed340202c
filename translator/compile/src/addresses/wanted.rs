//! [`Applicant`]: who is to have addresses, and which by its status or by what it asks for.

use std::net::IpAddr;

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
    let Pools(pools) = space;
    let asked_for = fixed::addresses(pod).transpose().map_err(wrong)?.unwrap_or_default();
    for &ip in &asked_for {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            return Err(wrong(format!(
                "{ip} is not in {}, where the pod is: take an address of that, or name a Subnet that has the address in the \
                 annotation meridian.dev/subnet",
                list(&space.networks())
            )));
        };
        if !pool.admits(ip) {
            return Err(wrong(format!(
                "{ip} is no pod's in {}, but its network's, gateway's, host's or broadcast address: take another",
                pool.network()
            )));
        }
    }
    Ok(Wanted {
        wants_more: !asked_for.is_empty(),
        record: asked_for,
        only: Box::default(),
    })
}

/// Whether a further interface can have what it asks for, judged by itself.
pub(super) fn asked_for(ips: &[IpAddr], space: &Pools) -> Result<(), String> {
    let Pools(pools) = space;
    let mut families = [false; 2];
    for &ip in ips {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            return Err(format!(
                "{ip} is not in {}, where the interface is: ask for another",
                list(&space.networks())
            ));
        };
        if !pool.admits(ip) {
            return Err(format!(
                "{ip} is no pod's in {}, but its network's, gateway's, host's or broadcast address: ask for another",
                pool.network()
            ));
        }
        let seen = &mut families[usize::from(ip.is_ipv6())];
        if std::mem::replace(seen, true) {
            return Err(format!(
                "{ip} is a second address of its family: an interface has one per family"
            ));
        }
    }
    Ok(())
}

/// What a pod's status says, judged by itself.
fn recorded(pod: &Pod, space: &Pools) -> Result<Box<[IpAddr]>, String> {
    let Pools(pools) = space;
    let mut families = [false; 2];
    for &ip in &pod.ips {
        let Some(pool) = pools.iter().find(|pool| pool.network().contains(ip)) else {
            let slice = list(&space.networks());
            return Err(format!(
                "{ip} is not in its node's slice {slice}: delete the pod to give it another"
            ));
        };
        if !pool.admits(ip) {
            return Err(format!(
                "{ip} is reserved in {}, as its network, gateway, management or broadcast address: delete the pod to \
                 give it another",
                pool.network()
            ));
        }
        let seen = &mut families[usize::from(ip.is_ipv6())];
        if std::mem::replace(seen, true) {
            return Err(format!(
                "{ip} is a second address of its family: a pod has one per family"
            ));
        }
    }
    Ok(pod.ips.clone())
}
