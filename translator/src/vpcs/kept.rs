//! [`Kept`]: a kind of object whose status is kept.

use std::fmt;
use std::sync::Arc;

use kube::Resource;
use kube::core::object::HasStatus;
use meridian_api::vpc::Vpc;
use meridian_api::vpc_peering::VpcPeering;
use meridian_compile::{VpcPeeringReport, VpcReport};
use meridian_northbound::writer::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::plan::{self, Known};
use crate::problems::Origin;

/// A kind of object without namespaces of which the compiler says how each fares.
pub(super) trait Kept:
    Resource<DynamicType = ()>
    + HasStatus<Status: DeserializeOwned>
    + DeserializeOwned
    + Clone
    + PartialEq
    + fmt::Debug
    + Send
    + 'static
{
    /// How one fares.
    type Report: PartialEq + fmt::Debug;

    /// As problems and paths call many of them.
    const PLURAL: &'static str;
    /// As problems begin the name of one.
    const PREFIX: &'static str;
    /// What writing takes.
    const RIGHTS: &'static str;
    /// Who complains of those that cannot be read.
    const READ_BY: Origin;
    /// As whom problems of writing are reported.
    const WRITTEN_BY: Origin;

    /// What the compiler says of all of them.
    fn reports(status: &Status) -> &Arc<[Self::Report]>;

    /// Which one a report is about.
    fn reported(report: &Self::Report) -> &str;

    /// A merge patch that makes the finalizers what they are to be; none if they are that already.
    fn finalizer_patch(&self, _known: Known<'_, Self::Report>) -> Option<Value> {
        None
    }

    /// A merge patch that makes the status what it is to be; none if it is that already, or nobody knows.
    fn status_patch(&self, known: Known<'_, Self::Report>) -> Option<Value>;
}

impl Kept for Vpc {
    type Report = VpcReport;

    const PLURAL: &'static str = "vpcs";
    const PREFIX: &'static str = "vpc/";
    const RIGHTS: &'static str = "patch of vpcs and of vpcs/status in meridian.dev";
    const READ_BY: Origin = Origin::Vpcs;
    const WRITTEN_BY: Origin = Origin::VpcStatus;

    fn reports(status: &Status) -> &Arc<[VpcReport]> {
        &status.vpcs
    }

    fn reported(report: &VpcReport) -> &str {
        &report.name
    }

    fn finalizer_patch(&self, known: Known<'_, VpcReport>) -> Option<Value> {
        plan::finalizer(self, known)
    }

    fn status_patch(&self, known: Known<'_, VpcReport>) -> Option<Value> {
        plan::status(self, known)
    }
}

impl Kept for VpcPeering {
    type Report = VpcPeeringReport;

    const PLURAL: &'static str = "vpcpeerings";
    const PREFIX: &'static str = "vpcpeering/";
    const RIGHTS: &'static str = "patch of vpcpeerings/status in meridian.dev";
    const READ_BY: Origin = Origin::VpcPeerings;
    const WRITTEN_BY: Origin = Origin::VpcPeeringStatus;

    fn reports(status: &Status) -> &Arc<[VpcPeeringReport]> {
        &status.vpc_peerings
    }

    fn reported(report: &VpcPeeringReport) -> &str {
        &report.name
    }

    fn status_patch(&self, known: Known<'_, VpcPeeringReport>) -> Option<Value> {
        plan::peering_status(self, known)
    }
}
