//! [`Kept`]: a kind of object of which it is said what becomes of it; where pods are in it, it stays as long as they are.

use std::fmt::Debug;
use std::sync::Arc;

use kube::Resource;
use kube::core::object::HasStatus;
use meridian_api::subnet::Subnet;
use meridian_api::vpc::{self, Vpc};
use meridian_api::vpc_peering::VpcPeering;
use meridian_compile::{SubnetReport, VpcPeeringReport, VpcReport};
use meridian_northbound::writer::Status;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{peering, plan, subnet};
use crate::problems::Origin;

/// What is known of an object beside what the API says.
#[derive(Debug)]
pub(super) struct Known<'a, R> {
    /// What the compiler says; none if it has never heard of it.
    pub(super) report: Option<&'a R>,
    /// Why it cannot be read as it is now.
    pub(super) unreadable: Option<&'a str>,
    /// Why there may be pods that nobody has told the compiler of.
    pub(super) doubt: Option<&'a str>,
}

/// A kind of object without namespaces of which the compiler says how each fares.
pub(super) trait Kept:
    Resource<DynamicType = ()>
    + HasStatus<Status: DeserializeOwned>
    + DeserializeOwned
    + Clone
    + Debug
    + PartialEq
    + Send
    + Sync
    + Unpin
    + 'static
{
    /// How the compiler reports on one.
    type Report: PartialEq + Debug + Send + Sync;

    /// The finalizer by which it stays, if pods are in it.
    const FINALIZER: Option<&'static str>;
    /// As the API's paths name the kind.
    const PLURAL: &'static str;
    /// As problems name one.
    const SINGULAR: &'static str;
    /// What writing takes.
    const RIGHTS: &'static str;
    /// Who reads such objects.
    const SOURCE: Origin;
    /// Who complains of what may not be written.
    const STATUS: Origin;

    fn reports(status: &Status) -> &Arc<[Self::Report]>;

    fn name(report: &Self::Report) -> &str;

    /// Whether nothing new comes in, and nothing is in it.
    fn is_left(report: &Self::Report) -> bool;

    /// A merge patch that makes its status what it is to be; none if it is that already, or nobody knows.
    fn status_patch(&self, known: Known<'_, Self::Report>) -> Option<Value>;
}

/// A merge patch that puts our finalizer on an object, or takes it away; none if it is right as it is.
///
/// It goes when the compiler knows that the object is to be deleted, so that nothing new comes in, and finds no pod in it. To know
/// of no pods before that is not enough.
pub(super) fn finalizer<K: Kept>(object: &K, known: Known<'_, K::Report>) -> Option<Value> {
    let ours = K::FINALIZER?;
    let now = object.meta().finalizers.as_deref().unwrap_or_default();
    let is_held = now.iter().any(|finalizer| finalizer == ours);
    let may_go = known.doubt.is_none() && known.report.is_some_and(K::is_left);
    let wanted: Vec<&str> = match (is_deleting(object), is_held) {
        (false, false) => now.iter().map(String::as_str).chain([ours]).collect(),
        (true, true) if may_go => now.iter().map(String::as_str).filter(|other| *other != ours).collect(),
        _ => return None,
    };
    // The list is written as a whole: whoever has changed it meanwhile is not to be overruled.
    Some(json!({"metadata": {"resourceVersion": object.meta().resource_version, "finalizers": wanted}}))
}

pub(super) fn is_deleting<K: Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}

pub(super) fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

impl<R> Clone for Known<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Known<'_, R> {}

impl<R> Default for Known<'_, R> {
    fn default() -> Self {
        Self {
            report: None,
            unreadable: None,
            doubt: None,
        }
    }
}

impl Kept for Vpc {
    type Report = VpcReport;

    const FINALIZER: Option<&'static str> = Some(vpc::FINALIZER);
    const PLURAL: &'static str = "vpcs";
    const SINGULAR: &'static str = "vpc";
    const RIGHTS: &'static str = "patch of vpcs and of vpcs/status in meridian.dev";
    const SOURCE: Origin = Origin::Vpcs;
    const STATUS: Origin = Origin::VpcStatus;

    fn reports(status: &Status) -> &Arc<[VpcReport]> {
        &status.vpcs
    }

    fn name(report: &VpcReport) -> &str {
        &report.name
    }

    fn is_left(report: &VpcReport) -> bool {
        report.deleting && report.pods == 0
    }

    fn status_patch(&self, known: Known<'_, VpcReport>) -> Option<Value> {
        plan::status(self, known)
    }
}

impl Kept for Subnet {
    type Report = SubnetReport;

    const FINALIZER: Option<&'static str> = Some(meridian_api::subnet::FINALIZER);
    const PLURAL: &'static str = "subnets";
    const SINGULAR: &'static str = "subnet";
    const RIGHTS: &'static str = "patch of subnets and of subnets/status in meridian.dev";
    const SOURCE: Origin = Origin::Subnets;
    const STATUS: Origin = Origin::SubnetStatus;

    fn reports(status: &Status) -> &Arc<[SubnetReport]> {
        &status.subnets
    }

    fn name(report: &SubnetReport) -> &str {
        &report.name
    }

    fn is_left(report: &SubnetReport) -> bool {
        report.deleting && report.pods == 0
    }

    fn status_patch(&self, known: Known<'_, SubnetReport>) -> Option<Value> {
        subnet::status(self, known)
    }
}

impl Kept for VpcPeering {
    type Report = VpcPeeringReport;

    const FINALIZER: Option<&'static str> = None;
    const PLURAL: &'static str = "vpcpeerings";
    const SINGULAR: &'static str = "vpcpeering";
    const RIGHTS: &'static str = "patch of vpcpeerings/status in meridian.dev";
    const SOURCE: Origin = Origin::VpcPeerings;
    const STATUS: Origin = Origin::VpcPeeringStatus;

    fn reports(status: &Status) -> &Arc<[VpcPeeringReport]> {
        &status.vpc_peerings
    }

    fn name(report: &VpcPeeringReport) -> &str {
        &report.name
    }

    fn is_left(_: &VpcPeeringReport) -> bool {
        true
    }

    fn status_patch(&self, known: Known<'_, VpcPeeringReport>) -> Option<Value> {
        peering::status(self, known)
    }
}
