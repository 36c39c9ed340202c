//! [`Log`]: which connections are logged, and how many of them in a second.
//!
//! ovn-controller writes a line for a packet that matches an ACL whose `log` is set, with the ACL's name; on the node of the pod that the
//! ACL is of. Of a connection that is let through that is its first packet. A meter that is `fair` counts for each ACL by itself.

use meridian_api::annotation::POLICY_LOG;
use meridian_model::{Key, Name};
use ovsdb::Datum;
use ovsdb_schemas::northbound::{meter, meter_band};

use crate::context::Context;

/// Lines in a second, for each ACL on each node.
const RATE: i64 = 20;

/// Which connections are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) denied: bool,
    pub(super) allowed: bool,
}

/// Of pods of a namespace.
pub(super) fn of_namespace(ctx: &Context<'_>, namespace: &Name) -> Log {
    let annotated = ctx
        .namespace(namespace)
        .and_then(|namespace| namespace.policy_log.clone());
    of(annotated.as_ref()).unwrap_or_default()
}

/// What an annotation says; nothing if it makes no sense.
pub(super) fn of(annotated: Option<&Name>) -> Option<Log> {
    let (denied, allowed) = match annotated.map(|text| &**text) {
        None | Some("" | "none") => (false, false),
        Some("denied") => (true, false),
        Some("allowed") => (false, true),
        Some("all") => (true, true),
        Some(_) => return None,
    };
    Some(Log { denied, allowed })
}

/// Reports an annotation that makes no sense.
pub(super) fn report(ctx: &mut Context<'_>, object: Key, annotated: Option<&Name>) {
    if let (Some(text), None) = (annotated, of(annotated)) {
        let message = format!("{text:?} is none of denied, allowed, all, none: nothing is logged");
        ctx.problem(object, format!("metadata.annotations[{POLICY_LOG}]"), message);
    }
}

/// Adds what limits how much is logged.
pub(crate) fn add_meter(ctx: &mut Context<'_>) {
    let name = ctx.names().policy_log();
    let band = [
        (meter_band::ACTION, Datum::scalar(ctx.known_text("drop"))),
        (meter_band::RATE, Datum::scalar(RATE)),
        (meter_band::BURST_SIZE, Datum::scalar(0)),
    ];
    let band = ctx.row(meter_band::TABLE, name.clone(), band, []);
    let columns = [
        (meter::NAME, Datum::scalar(&name)),
        (meter::UNIT, Datum::scalar(ctx.known_text("pktps"))),
        (meter::FAIR, Datum::scalar(true)),
        (meter::BANDS, Datum::scalar(band)),
    ];
    ctx.row(meter::TABLE, name, columns, []);
}
