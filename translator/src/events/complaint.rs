//! [`Complaint`]: a problem of an object, as an event says it.

use meridian_api::attachment::NETWORKS;
use meridian_api::name::DEFAULT_VPC;
use meridian_model::ClusterPolicyKind;

use crate::problems::{Found, Origin, Problem};

/// The pod gets no address, and with it no port.
const NO_ADDRESS: &str = "FailedAddressAllocation";
/// The pod gets no further interface, or not as it asks for it.
const NO_INTERFACE: &str = "FailedNetworkAttachment";
/// Pods cannot be in the VPC, or not all that should.
const NO_VPC: &str = "VpcNotReady";
/// Pods cannot be in the Subnet, or something else that it says makes no sense.
const NO_SUBNET: &str = "SubnetNotReady";
/// Two VPCs cannot be peers.
const NO_PEER: &str = "PeerRefused";
/// The VPC has not the gateways that it selects.
const NO_GATEWAY: &str = "NoGateways";
/// A route of the VPC, or a next hop of one, cannot be used.
const NO_ROUTE: &str = "RouteRefused";
/// Something about the service makes no sense, or not beside others.
const NO_SERVICE: &str = "InvalidService";
/// The same of what is behind it.
const NO_ENDPOINTS: &str = "InvalidEndpoints";
/// The Northbound database refuses the pod's port.
const NO_PORT: &str = "FailedPortWrite";
/// The Northbound database refuses what the VPC is made of.
const NO_NETWORK: &str = "FailedVpcWrite";
/// The Northbound database refuses what the Subnet is made of.
const NO_SWITCH: &str = "FailedSubnetWrite";
/// A part of a policy makes no sense, and is passed over.
const PASSED_OVER: &str = "PolicyRuleIgnored";
/// The Northbound database refuses what a policy is made of.
const NO_POLICY: &str = "FailedPolicyWrite";
/// The Northbound database refuses what the service is made of.
const NO_BALANCER: &str = "FailedLoadBalancerWrite";

/// The API takes no more bytes than this.
const NOTE: usize = 1024;

/// What an event is about: the same complaint of the same object is the same event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Complaint {
    pub(crate) subject: Subject,
    /// Empty where the subject is in none.
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// What kind of trouble it is, in one word.
    pub(crate) reason: &'static str,
    /// What was tried, in one word.
    pub(crate) action: &'static str,
    /// What is wrong, and what to do about it.
    pub(crate) note: String,
}

impl Complaint {
    /// Namespace and name of what it is about.
    pub(super) fn about(&self) -> String {
        if self.namespace.is_empty() {
            return self.name.clone();
        }
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Kinds of objects whose users look for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// `v1/Pod`.
    Pod,
    /// `v1/Service`.
    Service,
    /// `discovery.k8s.io/v1/EndpointSlice`.
    EndpointSlice,
    /// `meridian.dev/v1alpha1/Vpc`.
    Vpc,
    /// `meridian.dev/v1alpha1/Subnet`.
    Subnet,
    /// `meridian.dev/v1alpha1/VpcPeering`.
    VpcPeering,
    /// `networking.k8s.io/v1/NetworkPolicy`.
    NetworkPolicy,
    /// One of those of `policy.networking.k8s.io`.
    ClusterPolicy(ClusterPolicyKind),
}

/// The problems whose object is of such a kind.
pub(super) fn complaints(found: &Found) -> Vec<Complaint> {
    found
        .iter()
        .flat_map(|(origin, problems)| problems.iter().filter_map(|problem| complaint(*origin, problem)))
        .collect()
}

fn complaint(origin: Origin, problem: &Problem) -> Option<Complaint> {
    let (kind, name) = problem.object.split_once('/')?;
    let subject = match kind {
        "pod" => Subject::Pod,
        "service" => Subject::Service,
        "endpointslice" => Subject::EndpointSlice,
        "networkpolicy" => Subject::NetworkPolicy,
        // Of the default VPC there is no object that an event could be about.
        "vpc" if name != DEFAULT_VPC => Subject::Vpc,
        "subnet" => Subject::Subnet,
        "vpcpeering" => Subject::VpcPeering,
        other => {
            let mut kinds = ClusterPolicyKind::ALL.into_iter();
            Subject::ClusterPolicy(kinds.find(|kind| kind.word() == other)?)
        }
    };
    let (namespace, name) = match subject {
        Subject::Vpc | Subject::Subnet | Subject::VpcPeering | Subject::ClusterPolicy(_) => ("", name),
        _ => name.split_once('/')?,
    };
    let unreadable = |reason, action| (reason, action, field_and_message(problem));
    let (reason, action, note) = match (origin, subject) {
        (Origin::Compile, Subject::Pod) if problem.field.as_deref().is_some_and(is_of_networks) => {
            (NO_INTERFACE, "AttachNetwork", field_and_message(problem))
        }
        (Origin::Compile, Subject::Pod) => (NO_ADDRESS, "AllocateAddress", problem.message.clone()),
        (Origin::Compile, Subject::Service) => (NO_SERVICE, "BalanceLoad", field_and_message(problem)),
        (Origin::Compile, Subject::EndpointSlice) => (NO_ENDPOINTS, "BalanceLoad", field_and_message(problem)),
        (Origin::Compile, Subject::Vpc) if problem.field.as_deref().is_some_and(is_of_peers) => {
            (NO_PEER, "ConnectPeers", field_and_message(problem))
        }
        (Origin::Compile, Subject::Vpc) if problem.field.as_deref().is_some_and(is_of_egress) => {
            (NO_GATEWAY, "FindGateways", field_and_message(problem))
        }
        (Origin::Compile, Subject::Vpc) if problem.field.as_deref().is_some_and(is_of_routes) => {
            (NO_ROUTE, "RouteTraffic", field_and_message(problem))
        }
        (Origin::Compile, Subject::VpcPeering) => (NO_PEER, "ConnectPeers", problem.message.clone()),
        (Origin::Compile, Subject::Vpc) => (NO_VPC, "BuildNetwork", field_and_message(problem)),
        (Origin::Compile, Subject::Subnet) => (NO_SUBNET, "BuildNetwork", field_and_message(problem)),
        (Origin::Northbound, Subject::Subnet) => (NO_SWITCH, "BuildNetwork", problem.message.clone()),
        (Origin::Northbound, Subject::Vpc) => (NO_NETWORK, "BuildNetwork", problem.message.clone()),
        (Origin::Northbound, Subject::Pod) => (NO_PORT, "WritePort", problem.message.clone()),
        (Origin::Northbound, Subject::Service) => (NO_BALANCER, "WriteLoadBalancer", problem.message.clone()),
        (Origin::Compile, Subject::NetworkPolicy | Subject::ClusterPolicy(_)) => {
            (PASSED_OVER, "CompilePolicy", field_and_message(problem))
        }
        (Origin::Northbound, Subject::NetworkPolicy | Subject::ClusterPolicy(_)) => {
            (NO_POLICY, "WritePolicy", problem.message.clone())
        }
        (
            Origin::NetworkPolicies
            | Origin::ClusterNetworkPolicies
            | Origin::AdminNetworkPolicies
            | Origin::BaselineAdminNetworkPolicies,
            _,
        ) => unreadable("UnreadablePolicy", "ReadPolicy"),
        (Origin::Allocation, _) => (
            problem.reason.unwrap_or(NO_ADDRESS),
            "AllocateAddress",
            problem.message.clone(),
        ),
        (Origin::VpcStatus | Origin::VpcPeeringStatus | Origin::SubnetStatus, _) => {
            (problem.reason?, "WriteStatus", problem.message.clone())
        }
        (Origin::Pods, _) => unreadable("UnreadablePod", "ReadPod"),
        (Origin::Services, _) => unreadable("UnreadableService", "ReadService"),
        (Origin::EndpointSlices, _) => unreadable("UnreadableEndpoints", "ReadEndpoints"),
        (Origin::Vpcs, _) => unreadable("UnreadableVpc", "ReadVpc"),
        (Origin::Subnets, _) => unreadable("UnreadableSubnet", "ReadSubnet"),
        (Origin::VpcPeerings, _) => unreadable("UnreadableVpcPeering", "ReadVpcPeering"),
        _ => return None,
    };
    Some(Complaint {
        subject,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        reason,
        action,
        note: shortened(note),
    })
}

fn is_of_networks(field: &str) -> bool {
    field.contains(NETWORKS)
}

fn is_of_peers(field: &str) -> bool {
    field.starts_with("spec.peers")
}

fn is_of_egress(field: &str) -> bool {
    field.starts_with("spec.egress")
}

fn is_of_routes(field: &str) -> bool {
    field.starts_with("spec.routes")
}

fn field_and_message(problem: &Problem) -> String {
    match &problem.field {
        Some(field) => format!("{field}: {}", problem.message),
        None => problem.message.clone(),
    }
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
            reason: None,
            message: message.into(),
            place: None,
        }
    }

    fn found(board: &Board) -> Vec<(String, &'static str, String)> {
        let complaints = complaints(&board.subscribe().borrow());
        let told = |c: Complaint| (c.about(), c.reason, c.note);
        complaints.into_iter().map(told).collect()
    }

    #[test]
    fn only_problems_of_what_users_look_at_are_told_and_each_kind_has_its_reason() {
        let board = Board::default();
        let attachment = Problem {
            field: Some(format!("metadata.annotations[{NETWORKS}]")),
            ..problem("pod/shop/more", "entry 1: none")
        };
        let peers = Problem {
            field: Some("spec.peers[0]".to_owned()),
            ..problem("vpc/green", "overlaps")
        };
        board.set(Origin::Nodes, [problem("watch/nodes", "nothing listens")]);
        board.set(
            Origin::Compile,
            [
                problem("node/a", "no podCIDR"),
                problem("pod/shop/web", "no free address"),
                problem("service/shop/web", "is a network"),
                problem("addresspool/public", "is no range"),
                problem("vpc/default", "overlaps"),
                problem("vpc/blue", "overlaps"),
                problem("subnet/vms", "overlaps"),
                peers,
                attachment,
                problem("vpcpeering/b", "overlaps"),
            ],
        );
        board.set(
            Origin::Pods,
            [
                problem("watch/pods", "gone"),
                problem("pod/shop/bad", "is no IP address"),
            ],
        );
        board.set(
            Origin::Northbound,
            [
                problem("pod/shop/db", "refused"),
                problem("service/shop/db", "refused"),
                problem("vpc/red", "refused"),
            ],
        );
        let full = Problem {
            reason: Some("AddressPoolExhausted"),
            ..problem("service/shop/api", "all are given")
        };
        board.set(Origin::Allocation, [full]);
        board.set(
            Origin::Vpcs,
            [problem("watch/vpcs", "gone"), problem("vpc/bad", "is no name")],
        );
        board.set(Origin::VpcPeerings, [problem("vpcpeering/bad", "is no peer")]);
        let refused = Problem {
            reason: Some("FailedStatusWrite"),
            ..problem("vpc/blue", "denied")
        };
        board.set(Origin::VpcStatus, [refused.clone(), problem("vpcs", "forbidden")]);
        let refused = Problem {
            object: "vpcpeering/a".into(),
            ..refused
        };
        board.set(Origin::VpcPeeringStatus, [refused]);
        assert_eq!(
            found(&board),
            [
                (
                    "shop/bad".into(),
                    "UnreadablePod",
                    "status.podIPs: is no IP address".into()
                ),
                ("bad".into(), "UnreadableVpc", "status.podIPs: is no name".into()),
                ("bad".into(), "UnreadableVpcPeering", "status.podIPs: is no peer".into()),
                (
                    "shop/more".into(),
                    NO_INTERFACE,
                    format!("metadata.annotations[{NETWORKS}]: entry 1: none")
                ),
                ("shop/web".into(), NO_ADDRESS, "no free address".into()),
                ("shop/web".into(), NO_SERVICE, "status.podIPs: is a network".into()),
                ("vms".into(), NO_SUBNET, "status.podIPs: overlaps".into()),
                ("blue".into(), NO_VPC, "status.podIPs: overlaps".into()),
                ("green".into(), NO_PEER, "spec.peers[0]: overlaps".into()),
                ("b".into(), NO_PEER, "overlaps".into()),
                ("shop/db".into(), NO_PORT, "refused".into()),
                ("shop/db".into(), NO_BALANCER, "refused".into()),
                ("red".into(), NO_NETWORK, "refused".into()),
                ("shop/api".into(), "AddressPoolExhausted", "all are given".into()),
                ("blue".into(), "FailedStatusWrite", "denied".into()),
                ("a".into(), "FailedStatusWrite", "denied".into()),
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
