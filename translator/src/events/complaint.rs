//! [`Complaint`]: a problem of a pod, as an event says it.

use crate::problems::{Found, Origin, Problem};

/// The pod gets no address, and with it no port.
const NO_ADDRESS: &str = "FailedAddressAllocation";
/// What the API says of the pod cannot be read.
const UNREADABLE: &str = "UnreadablePod";
/// The Northbound database refuses the pod's port.
const NO_PORT: &str = "FailedPortWrite";

/// The API takes no more bytes than this.
const NOTE: usize = 1024;

/// What an event is about: the same complaint of the same pod is the same event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Complaint {
    pub(super) namespace: String,
    pub(super) pod: String,
    /// What kind of trouble it is, in one word.
    pub(super) reason: &'static str,
    /// What was tried, in one word.
    pub(super) action: &'static str,
    /// What is wrong, and what to do about it.
    pub(super) note: String,
}

/// The problems whose object is a pod.
pub(super) fn complaints(found: &Found) -> Vec<Complaint> {
    found
        .iter()
        .flat_map(|(origin, problems)| problems.iter().filter_map(|problem| complaint(*origin, problem)))
        .collect()
}

fn complaint(origin: Origin, problem: &Problem) -> Option<Complaint> {
    let (namespace, pod) = problem.object.strip_prefix("pod/")?.split_once('/')?;
    let (reason, action, note) = match origin {
        Origin::Compile => (NO_ADDRESS, "AllocateAddress", problem.message.clone()),
        Origin::Northbound => (NO_PORT, "WritePort", problem.message.clone()),
        Origin::Pods => {
            let field = problem.field.as_deref().unwrap_or("the pod");
            (UNREADABLE, "ReadPod", format!("{field}: {}", problem.message))
        }
        Origin::Manifests
        | Origin::Nodes
        | Origin::Namespaces
        | Origin::Services
        | Origin::EndpointSlices
        | Origin::ServiceCidrs
        | Origin::AddressPools
        | Origin::Chassis
        | Origin::Allocation => {
            return None;
        }
    };
    Some(Complaint {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        reason,
        action,
        note: shortened(note),
    })
}

fn shortened(mut note: String) -> String {
    if note.len() > NOTE {
        let dots = "...";
        note.truncate(note.floor_char_boundary(NOTE - dots.len()));
        note.push_str(dots);
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::Board;

    fn problem(object: &str, message: &str) -> Problem {
        Problem {
            object: object.into(),
            field: Some("status.podIPs".into()),
            message: message.into(),
            place: None,
        }
    }

    fn found(board: &Board) -> Vec<(String, &'static str, String)> {
        let complaints = complaints(&board.subscribe().borrow());
        let told = |c: Complaint| (format!("{}/{}", c.namespace, c.pod), c.reason, c.note);
        complaints.into_iter().map(told).collect()
    }

    #[test]
    fn only_problems_of_pods_are_told_and_each_kind_has_its_reason() {
        let board = Board::default();
        board.set(Origin::Nodes, [problem("watch/nodes", "nothing listens")]);
        board.set(
            Origin::Compile,
            [
                problem("node/a", "no podCIDR"),
                problem("pod/shop/web", "no free address"),
            ],
        );
        board.set(
            Origin::Pods,
            [
                problem("watch/pods", "gone"),
                problem("pod/shop/bad", "is no IP address"),
            ],
        );
        board.set(Origin::Northbound, [problem("pod/shop/db", "refused")]);
        assert_eq!(
            found(&board),
            [
                ("shop/bad".into(), UNREADABLE, "status.podIPs: is no IP address".into()),
                ("shop/web".into(), NO_ADDRESS, "no free address".into()),
                ("shop/db".into(), NO_PORT, "refused".into()),
            ]
        );
    }

    #[test]
    fn a_note_is_no_longer_than_the_api_takes() {
        let board = Board::default();
        board.set(Origin::Compile, [problem("pod/shop/web", &"ä".repeat(NOTE))]);
        let (_, _, note) = &found(&board)[0];
        assert!(
            note.len() <= NOTE && note.len() > NOTE - 5 && note.ends_with("ä..."),
            "{note}"
        );
    }
}
